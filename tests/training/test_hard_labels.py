"""Sub-sampled histories, and the loss that central training minimises."""

import numpy as np
import pytest
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.ragged import Ragged
from fedkd.training.hard_labels import sub_sampled, weighted_loss


def test_sub_sampling_keeps_the_stated_share_in_order() -> None:
    rows = Ragged.from_rows([np.arange(5000)], np.int32)
    kept = sub_sampled(rows, 0.3, np.random.default_rng(0))[0]
    assert abs(len(kept) / 5000 - 0.3) < 0.03
    assert (np.diff(kept) > 0).all()
    assert sub_sampled(rows, 1.0, np.random.default_rng(0)) is rows


def test_the_loss_is_the_mean_over_users_weighted_by_the_root_of_their_length() -> None:
    rows = [[0, 3, 5, 7], [2], [1, 4, 6, 0, 3, 5, 7, 8, 9]]
    model = AutoencoderConfig(width=4).build(Catalogue.numbered(10), 0).eval()
    got = weighted_loss(model, Ragged.from_rows(rows, np.int32), 1.0, np.random.default_rng(0))
    total = 0.0
    for row in rows:
        likely = torch.softmax(model(torch.tensor([row])).detach(), -1)[0]
        total -= len(row) ** 0.5 * float(torch.log(likely[row]).mean())
    assert float(got.detach()) == pytest.approx(total / (2 + 1 + 3), rel=1e-5)
