"""Teachers and students from sums of pairs, against plain solves."""

import numpy as np
import pytest
import torch
from scipy import sparse

from fedkd.distillation import pair_models
from fedkd.distillation.co_occurrence import CoOccurrence
from fedkd.distillation.next_item import NextItem
from fedkd.distillation.pair_lists import Everything, Layout, contributions, known_pairs
from fedkd.distillation.pair_models import PairSums, most_important, neighbour_weights, pair_teacher, sparse_student
from fedkd.distillation.residual import UserWeights
from fedkd.models.base import score
from fedkd.models.decayed_linear import DecayedLinear, SparseDecayed
from fedkd.ragged import Ragged

ITEMS, RIDGE = 8, 2.0
STATISTIC = NextItem((1.0, 4.0))
RATES = 1 / np.asarray(STATISTIC.decays)


def histories():
    rng = np.random.default_rng(0)
    return Ragged.from_rows([rng.permutation(ITEMS)[: rng.integers(2, ITEMS)] for _ in range(30)], np.int32)


def sums():
    return PairSums(STATISTIC.layout(ITEMS), known_pairs(histories(), STATISTIC, ITEMS))


def naive():
    inputs, targets = sums().inputs.toarray(), sums().targets.toarray()
    return np.linalg.solve(inputs + RIDGE * np.eye(len(inputs)), targets)


def test_the_teacher_is_the_ridge_solution():
    teacher = pair_teacher(sums(), RIDGE, RATES)
    assert isinstance(teacher, DecayedLinear)
    np.testing.assert_allclose(teacher.weights.numpy(), naive(), atol=1e-5)


def test_the_teacher_of_everything_is_the_same():
    everything = Everything(STATISTIC.layout(ITEMS))
    answered = contributions(histories(), STATISTIC, everything).total()
    teacher = pair_teacher(PairSums(everything.layout, everything.matrix(answered, STATISTIC.units())), RIDGE, RATES)
    assert isinstance(teacher, DecayedLinear)
    np.testing.assert_allclose(teacher.weights.numpy(), naive(), atol=1e-5)


@pytest.mark.parametrize("frequent", [0, 5, 10_000])
def test_one_small_ridge_an_item_is_the_same_where_all_inputs_are_neighbours(monkeypatch, frequent):
    monkeypatch.setattr(pair_models, "DENSE_INPUTS", 1)
    monkeypatch.setattr(pair_models, "FREQUENT_INPUTS", frequent)
    large = pair_teacher(sums(), RIDGE, RATES)
    assert isinstance(large, SparseDecayed)
    held = sums().targets.toarray() != 0
    assert held.mean() > 0.8
    for item in range(ITEMS):
        near, inputs = np.flatnonzero(held[:, item]), sums().inputs.toarray()
        block = inputs[np.ix_(near, near)] + RIDGE * np.eye(len(near))
        expected = np.linalg.solve(block, sums().targets.toarray()[near, item])
        np.testing.assert_allclose(large.matrix().toarray()[near, item], expected, atol=1e-5)


def test_only_the_nearest_count():
    weights = neighbour_weights(sums().inputs, sums().targets, RIDGE, most=2)
    assert (np.diff(sparse.csc_array(weights).indptr) <= 2).all()


def test_weights_do_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(pair_models, "_ITEMS", 3)
    some = [neighbour_weights(sums().inputs, sums().targets, RIDGE)]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    some.append(neighbour_weights(sums().inputs, sums().targets, RIDGE))
    np.testing.assert_array_equal(some[0].toarray(), some[1].toarray())


def test_a_block_of_no_users_is_solved_all_the_same():
    indefinite = sparse.csr_array(np.array([[1.0, 9, 0], [9, 1, 0], [0, 0, 1]]))
    wanted = sparse.csr_array(np.array([[0.0, 0, 1], [0, 0, 1], [0, 0, 0]]))
    weights = neighbour_weights(indefinite, wanted, RIDGE).toarray()
    np.testing.assert_allclose(weights[:2, 2], np.linalg.solve([[3, 9], [9, 3]], [1, 1]), atol=1e-5)


def test_an_item_that_a_history_repeats_counts_where_it_is_last():
    few = SparseDecayed(sparse.csr_array(np.eye(2 * ITEMS, ITEMS)), RATES)  # scores are the first decay's input
    history = torch.tensor([[ITEMS, 3, 2, 3, 1]])
    steps = torch.tensor([np.inf, 0, 2, 1] + [np.inf] * (ITEMS - 4), dtype=torch.float32)
    torch.testing.assert_close(few(history)[0], torch.exp(-RATES[0] * steps))


def test_an_item_does_not_predict_itself_in_the_plain_statistic():
    layout = Layout(3)
    plain = PairSums(layout, sparse.csr_array(np.array([[3.0, 2, 0], [0, 3, 1], [0, 0, 3]])))
    np.testing.assert_array_equal(plain.targets.toarray(), [[0, 2, 0], [2, 0, 1], [0, 1, 0]])
    teacher = pair_teacher(plain, RIDGE, np.zeros(1))
    assert isinstance(teacher, SparseDecayed)
    np.testing.assert_allclose(teacher.matrix().toarray()[:, 0], [0, 0.4, 0], atol=1e-6)


def test_a_matrix_of_no_users_is_solved_with_a_larger_ridge():
    layout = Layout(2, decays=1, targets=True)
    impossible = PairSums(layout, np.array([[1.0, 9, 1, 0], [0, 1, 0, 1]]))
    teacher = pair_teacher(impossible, RIDGE, np.ones(1))
    assert isinstance(teacher, DecayedLinear)
    np.testing.assert_allclose(teacher.weights.numpy(), np.linalg.inv([[17.0, 9], [9, 17.0]]), atol=1e-5)


def test_the_student_keeps_the_weights_that_matter_most():
    teacher = pair_teacher(sums(), RIDGE, RATES)
    kept, full = most_important(teacher, sums(), 20).toarray(), naive()
    assert np.count_nonzero(kept) == 20
    np.testing.assert_allclose(kept[kept != 0], full[kept != 0], atol=1e-5)
    worth = np.abs(full) * np.diag(sums().inputs.toarray())[:, None] ** 0.25
    assert worth[kept == 0].max() <= worth[kept != 0].min()


@pytest.mark.parametrize("as_array", [False, True])
def test_the_student_solves_again_for_the_weights_that_it_keeps(as_array):
    known = PairSums(sums().layout, sums().matrix.toarray()) if as_array else sums()
    teacher = pair_teacher(known, RIDGE, RATES)
    student = sparse_student(teacher, known, 20, RIDGE)
    there, inputs = most_important(teacher, known, 20).toarray() != 0, sums().inputs.toarray()
    assert len(student.values) == 20
    for item in range(ITEMS):
        near = np.flatnonzero(there[:, item])
        block = inputs[np.ix_(near, near)] + RIDGE * np.eye(len(near))
        expected = np.linalg.solve(block, sums().targets.toarray()[near, item])
        np.testing.assert_allclose(student.matrix().toarray()[near, item], expected, atol=1e-5)
    everything = sparse_student(teacher, known, 10**6, RIDGE)
    np.testing.assert_allclose(score(everything, histories()), score(teacher, histories()), atol=1e-5)


def test_the_student_of_the_plain_statistic_solves_again_for_the_weights_that_it_keeps():
    plain = CoOccurrence(UserWeights())
    known = PairSums(plain.layout(ITEMS), known_pairs(histories(), plain, ITEMS))
    student = sparse_student(pair_teacher(known, RIDGE, np.zeros(1)), known, 12, RIDGE).matrix().toarray()
    inputs, targets = known.inputs.toarray(), known.targets.toarray()
    assert np.count_nonzero(student) == 12
    for item in range(ITEMS):
        near = np.flatnonzero(student[:, item])
        block = inputs[np.ix_(near, near)] + RIDGE * np.eye(len(near))
        np.testing.assert_allclose(student[near, item], np.linalg.solve(block, targets[near, item]), atol=1e-5)


@pytest.mark.parametrize("rates", [RATES, np.zeros(2)])
def test_scores_are_decayed_sums(rates):
    weights = np.random.default_rng(1).normal(size=(2 * ITEMS, ITEMS))
    dense, few = DecayedLinear(weights, rates), SparseDecayed(sparse.csr_array(weights), rates)
    expected = np.zeros((len(histories()), ITEMS))
    for row, history in enumerate(histories()):
        for steps, item in enumerate(history[::-1]):
            for decay, rate in enumerate(rates):
                expected[row] += np.exp(-rate * steps) * weights[decay * ITEMS + item]
    np.testing.assert_allclose(score(dense, histories()), expected, atol=1e-5)
    np.testing.assert_allclose(score(few, histories()), expected, atol=1e-5)
    assert few.size()[0] == weights.size + 2
