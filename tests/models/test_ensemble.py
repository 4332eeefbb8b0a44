"""Ensembles: the sum of calibrated logits, all members counted, one catalogue alone."""

import numpy as np
import pytest
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import padded_histories
from fedkd.models.ease import EASE
from fedkd.models.ensemble import Ensemble
from fedkd.models.gru import GRUConfig
from fedkd.ragged import Ragged

CATALOGUE = Catalogue.numbered(9)
HISTORIES = padded_histories(Ragged.from_rows([[1, 2, 3], [4], []], np.int32), 9)


def members() -> list[EASE]:
    weights = np.random.default_rng(0).normal(size=(9, 9))
    return [EASE(weights), AutoencoderConfig(width=4).build(CATALOGUE, 0), GRUConfig(width=3).build(CATALOGUE, 1)]  # type: ignore[list-item]


def test_logits_are_added_up() -> None:
    parts = members()
    expected = sum(w * part(HISTORIES) / t for w, t, part in zip((0.5, 1.0, 0.2), (0.1, 2, 1), parts, strict=True))
    torch.testing.assert_close(Ensemble(parts, (0.5, 1.0, 0.2), (0.1, 2, 1))(HISTORIES), expected)
    torch.testing.assert_close(Ensemble(parts)(HISTORIES), sum(part(HISTORIES) for part in parts) / 3)


def test_its_features_are_those_of_all_and_every_number_is_counted() -> None:
    parts = members()
    ensemble = Ensemble(parts)
    assert ensemble.features(HISTORIES).shape == (3, 1, 9 + 4 + 3)
    assert ensemble.size()[0] == sum(part.size()[0] for part in parts) + 6


@pytest.mark.parametrize("sizes", [(), (5, 9)])
def test_members_have_one_catalogue(sizes: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="one catalogue"):
        Ensemble([EASE(np.zeros((size, size))) for size in sizes])
