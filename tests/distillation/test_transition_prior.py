"""A neural model's transitions as a prior, against naive loops and a dense solve."""

import numpy as np
import pytest
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.distillation import pair_models
from fedkd.distillation.next_item import NextItem
from fedkd.distillation.pair_lists import known_pairs
from fedkd.distillation.pair_models import PairSums, pair_teacher, teacher_and_student
from fedkd.distillation.transition_prior import transitions, with_prior
from fedkd.models.gru import GRUConfig
from fedkd.models.table import MODELS
from fedkd.ragged import Ragged

ITEMS, RIDGE, WEIGHT = 7, 2.0, 3.0
STATISTIC = NextItem((1.0, 4.0))
RATES = 1 / np.asarray(STATISTIC.decays)
MODEL = GRUConfig(width=4).build(Catalogue.numbered(ITEMS), 0).eval()


def sums() -> PairSums:
    rng = np.random.default_rng(0)
    rows = [rng.permutation(ITEMS)[: rng.integers(2, ITEMS)] for _ in range(20)]
    return PairSums(STATISTIC.layout(ITEMS), known_pairs(Ragged.from_rows(rows, np.int32), STATISTIC, ITEMS))


def naive(temperature: float, most: int = ITEMS) -> np.ndarray:
    out = np.zeros((ITEMS, ITEMS))
    for item in range(ITEMS):
        logits = MODEL(torch.tensor([[item]]))[0].detach().numpy() / temperature
        chances = np.exp(logits) * (np.arange(ITEMS) != item)
        chances /= chances.sum()
        kept = np.argsort(-chances)[:most]
        out[item, kept] = chances[kept]
    return out


@pytest.mark.parametrize(("temperature", "most"), [(1.0, ITEMS), (0.2, ITEMS), (5.0, 2)])
def test_transitions_are_the_chances_after_a_history_of_one_item(temperature: float, most: int) -> None:
    found = transitions(MODEL, temperature, most).toarray()
    np.testing.assert_allclose(found, naive(temperature, most), atol=1e-6)
    assert not found.diagonal().any()


@pytest.mark.parametrize("as_array", [False, True])
def test_the_teacher_is_the_ridge_solution_with_the_prior_on_the_right(as_array: bool) -> None:
    given = PairSums(sums().layout, sums().matrix.toarray()) if as_array else sums()
    informed = with_prior(given, transitions(MODEL, 0.5), WEIGHT)
    assert isinstance(informed.matrix, np.ndarray) is as_array
    inputs, targets = sums().inputs.toarray(), sums().targets.toarray()
    expected = np.linalg.solve(inputs + RIDGE * np.eye(len(inputs)), targets + WEIGHT * np.tile(naive(0.5), (2, 1)) / 2)
    teacher, student = teacher_and_student(informed, RIDGE, RATES, expected.size)
    np.testing.assert_allclose(teacher.weights.numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(student.matrix().toarray(), expected, atol=1e-4)


def test_without_any_answers_the_models_are_the_prior() -> None:
    silent = PairSums(sums().layout, 0 * sums().matrix)
    teacher = pair_teacher(with_prior(silent, transitions(MODEL, 1.0), RIDGE), RIDGE, RATES)
    last = torch.tensor([[ITEMS, 3]])
    np.testing.assert_allclose(teacher(last)[0].numpy(), naive(1.0)[3], atol=1e-6)


def test_columns_of_a_large_catalogue_take_the_prior_s_places_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_models, "DENSE_INPUTS", 1)
    silent = PairSums(sums().layout, 0 * sums().matrix)
    silent.matrix.eliminate_zeros()
    teacher = pair_teacher(with_prior(silent, transitions(MODEL, 1.0, most=3), RIDGE), RIDGE, RATES)
    np.testing.assert_allclose(teacher.matrix().toarray()[:ITEMS], naive(1.0, 3) / 2, atol=1e-6)


@pytest.mark.parametrize("family", sorted(MODELS.names))
def test_every_family_has_transitions(family: str) -> None:
    model = MODELS.parse("linear")({"family": family}).build(Catalogue.numbered(ITEMS), 0).eval()
    np.testing.assert_allclose(transitions(model, 1.0).sum(axis=1), 1, atol=1e-5)
