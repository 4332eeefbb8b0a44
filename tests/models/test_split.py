"""A large network on a student's features."""

import numpy as np
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import padded_histories
from fedkd.models.cnn import CNNConfig
from fedkd.models.split import Speaking, SplitRecommender, feature_width
from fedkd.ragged import Ragged
from fedkd.testing import models as suite

CATALOGUE = Catalogue.numbered(12)
HISTORIES = padded_histories(Ragged.from_rows([[1, 2, 3], [4], []], np.int32), 12)


def split(seed: int = 0) -> SplitRecommender:
    torch.manual_seed(seed)
    return SplitRecommender(AutoencoderConfig(width=5).build(CATALOGUE, 0), 7).eval()


def test_it_is_a_recommender() -> None:
    model = split()
    for check in (suite.check_scores, suite.check_padding, suite.check_features, suite.check_size):
        check(model)


def test_scores_are_those_of_the_extractors_features() -> None:
    model = split()
    torch.testing.assert_close(model(HISTORIES), model.of_features(model.extractor.hidden(HISTORIES)))
    assert model.hidden(HISTORIES).shape == (3, 7)
    assert feature_width(CNNConfig(channels=(4, 9)).build(CATALOGUE, 0)) == 9


def test_training_leaves_the_extractor_as_it_is() -> None:
    model = split()
    model(HISTORIES).sum().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in model.extractor.parameters())
    assert all(parameter.grad is not None for parameter in model.upper.parameters())


def test_the_large_network_is_kept_apart_from_the_extractor() -> None:
    model, other = split(0), split(1)
    arrays = model.upper_arrays()
    assert {name.partition(".")[0] for name in arrays} == {"upper"}
    torch.testing.assert_close(other.with_upper(arrays)(HISTORIES), model(HISTORIES))


def test_a_student_says_features_and_scores_side_by_side() -> None:
    student, panel = AutoencoderConfig(width=5).build(CATALOGUE, 0), np.array([3, 0], np.int32)
    found = Speaking(student, panel)(HISTORIES)
    torch.testing.assert_close(found, torch.cat([student.hidden(HISTORIES), student(HISTORIES)[:, [3, 0]]], 1))
