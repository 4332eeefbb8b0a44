"""Protected next-item statistics: bounded answers, and the estimate between public users alone and the exact sum."""

import numpy as np
import pytest

from fedkd.distillation.likely_pairs import likely_targets
from fedkd.distillation.next_item import NextItem
from fedkd.distillation.pair_lists import known_pairs
from fedkd.distillation.protected_pairs import bounded, protected_sums, unit_rows
from fedkd.ragged import Ragged

ITEMS = 9
STATISTIC = NextItem((1.0, 3.0))


def histories(users: int, seed: int) -> Ragged:
    rng = np.random.default_rng(seed)
    return Ragged.from_rows([rng.permutation(ITEMS)[: rng.integers(0, ITEMS)] for _ in range(users)], np.int32)


ASKED = likely_targets(known_pairs(histories(20, 0), STATISTIC, ITEMS), STATISTIC.layout(ITEMS), 50)


def naive(history: np.ndarray) -> np.ndarray:
    """The numbers of one user on the list, from the whole statistic."""
    whole = known_pairs(Ragged.from_rows([history], np.int32), STATISTIC, ITEMS).toarray()
    return whole[ASKED.columns.row_index, ASKED.columns.values]


def test_a_list_of_targets_holds_no_inputs() -> None:
    assert ASKED.count == 50
    assert (ASKED.columns.values >= STATISTIC.layout(ITEMS).inputs).all()


def test_an_answer_is_a_user_s_numbers_over_their_norm_and_the_mean_of_several_users() -> None:
    private, owner = histories(6, 1), np.array([0, 1, 1, 1, 2, 3])
    answered = bounded(private, owner, STATISTIC, ASKED)
    rows = np.array([naive(history) for history in private])
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    units = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    for client in range(4):
        np.testing.assert_allclose(answered.of(client), units[owner == client].mean(axis=0), atol=1e-6)
    assert norms.any()


@pytest.mark.parametrize("ratio", [1.5, 9.0])
def test_no_noise_takes_the_sum_and_endless_noise_the_public_users(ratio: float) -> None:
    public = histories(20, 2)
    rows, factors = unit_rows(public, STATISTIC, ASKED)
    pooled = np.linspace(0, 3, ASKED.count)
    known = known_pairs(public, STATISTIC, ITEMS).toarray()
    place = ASKED.columns.row_index, ASKED.columns.values
    silent = protected_sums(pooled, public, STATISTIC, ASKED, ratio, np.inf)
    np.testing.assert_allclose(silent.matrix.toarray(), (1 + ratio) * known, atol=1e-4)
    told = protected_sums(pooled, public, STATISTIC, ASKED, ratio, 1e-9)
    held = rows.power(2).sum(axis=0) > 0
    assert held.any()
    weight = (factors * public.lengths).sum() / public.lengths.sum()  # of a step in an answer
    answered = np.asarray(rows.sum(axis=0)).ravel()
    expected = (1 + ratio) * known[place] + (pooled - ratio * answered) / weight
    np.testing.assert_allclose(told.matrix.toarray()[place][held], expected[held], rtol=1e-5, atol=1e-4)
    between = protected_sums(pooled, public, STATISTIC, ASKED, ratio, 1.0)
    moved = (between.matrix - silent.matrix).toarray()[place]
    whole = (told.matrix - silent.matrix).toarray()[place]
    assert (np.abs(moved) <= np.abs(whole) + 1e-4).all()
    assert (moved * whole >= -1e-6).all()
