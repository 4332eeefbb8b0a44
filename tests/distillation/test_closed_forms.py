from itertools import product

import numpy as np
import pytest
from scipy import sparse

from fedkd.distillation import closed_forms
from fedkd.distillation.closed_forms import Gram, denoising_teacher, ease_teacher, low_rank_student, teacher_operator
from fedkd.models.base import score
from fedkd.ragged import Ragged


def make_gram(items=40, rank=12, seed=0):
    rng = np.random.default_rng(seed)
    return Gram(rng.normal(size=(rank, items)))


def every_item(items):
    return Ragged.from_rows(np.arange(items)[:, None], np.int32)


def test_dense_and_factored_teachers_give_the_same_scores():
    gram = make_gram()
    histories = Ragged.from_rows([[0, 5, 9], [], [39], list(range(20))], np.int32)
    dense, thin = (score(ease_teacher(gram, 3.0, dense), histories) for dense in (True, False))
    np.testing.assert_allclose(thin, dense, atol=1e-5)


def test_dense_and_factored_teachers_have_the_same_students():
    gram = make_gram()
    students = [low_rank_student(ease_teacher(gram, 3.0, dense), gram, 5) for dense in (True, False)]
    first, second = (score(student, every_item(40)) for student in students)
    np.testing.assert_allclose(first, second, atol=1e-4)


@pytest.mark.parametrize("dense", [True, False])
def test_operator_is_the_teachers_matrix_from_both_sides(dense):
    teacher = ease_teacher(make_gram(), 3.0, dense)
    weights = score(teacher, every_item(40))
    np.testing.assert_allclose(teacher_operator(teacher) @ np.eye(40), weights, atol=1e-5)
    np.testing.assert_allclose(teacher_operator(teacher).T @ np.eye(40), weights.T, atol=1e-5)


def test_student_is_the_best_of_its_rank():
    gram = make_gram(rank=50)
    weights = score(ease_teacher(gram, 3.0), every_item(40)).astype(np.float64)
    root = np.linalg.cholesky(gram.dense()).T
    left, sizes, right = np.linalg.svd(root @ weights)
    best = np.linalg.solve(root, (left[:, :6] * sizes[:6]) @ right[:6])
    student = low_rank_student(ease_teacher(gram, 3.0), gram, 6)
    np.testing.assert_allclose(score(student, every_item(40)), best, atol=1e-4)


def test_student_error_is_the_sum_of_the_eigenvalues_left_out():
    gram = make_gram()
    teacher = ease_teacher(gram, 3.0)
    weights = score(teacher, every_item(40)).astype(np.float64)
    error = weights - score(low_rank_student(teacher, gram, 8), every_item(40))
    values = np.linalg.eigvalsh(weights.T @ gram.dense() @ weights)
    assert np.trace(error.T @ gram.dense() @ error) == pytest.approx(values[:-8].sum(), rel=1e-3)


def test_a_factored_student_of_more_rows_than_its_rank_is_the_dense_ones() -> None:
    gram = make_gram(items=60, rank=25, seed=4)
    dense, thin = (low_rank_student(ease_teacher(gram, 2.0, form), gram, 7) for form in (True, False))
    np.testing.assert_allclose(score(thin, every_item(60)), score(dense, every_item(60)), atol=1e-4)


def denoised_by_hand(histories, dropout):
    """Regress histories on every copy of them from which items were dropped, each as likely as it is."""
    inputs, targets, likely = [], [], []
    for history in histories:
        for kept in product((0, 1), repeat=len(history)):
            inputs.append(history * kept)
            targets.append(history)
            likely.append((1 - dropout) ** sum(kept) * dropout ** (len(kept) - sum(kept)))
    root = np.sqrt(likely)[:, None]
    return np.linalg.lstsq(np.array(inputs) * root, np.array(targets) * root, rcond=None)[0]


@pytest.mark.parametrize("dense", [True, False])
def test_a_denoising_teacher_has_learnt_histories_from_which_items_were_dropped(dense):
    histories = (np.random.default_rng(3).random((30, 6)) < 0.5).astype(float)
    expected = denoised_by_hand(histories, 0.4) * (1 - 0.4)  # what is kept stands for what was dropped as well
    np.fill_diagonal(expected, 0)
    teacher = denoising_teacher(Gram(histories), 1e-9, 0.4, dense)
    np.testing.assert_allclose(score(teacher, every_item(6)), expected, atol=1e-5)


def test_denoising_teachers_in_both_forms_have_the_same_students():
    gram = Gram(make_gram(rank=20).factor, np.linspace(0.5, 2, 40))
    dense, thin = (denoising_teacher(gram, 3.0, 0.5, form) for form in (True, False))
    weights = score(dense, every_item(40))
    np.testing.assert_allclose(score(thin, every_item(40)), weights, atol=1e-5)
    np.testing.assert_allclose(teacher_operator(thin) @ np.eye(40), weights, atol=1e-5)
    np.testing.assert_allclose(teacher_operator(thin).T @ np.eye(40), weights.T, atol=1e-5)
    factored = Gram(make_gram(rank=20).factor)
    first, second = (
        score(low_rank_student(denoising_teacher(factored, 3.0, 0.5, form), factored, 5), every_item(40))
        for form in (True, False)
    )
    np.testing.assert_allclose(first, second, atol=1e-4)


def sparse_rows(users=90, items=70, seed=1):
    return sparse.csr_array((np.random.default_rng(seed).random((users, items)) < 0.2).astype(np.float64))


def test_few_histories_are_their_own_factor() -> None:
    rows = sparse_rows()
    assert np.array_equal(Gram.of_histories(rows).factor, rows.toarray())


def test_many_histories_are_compressed_to_their_strongest_directions_and_the_whole_diagonal(monkeypatch) -> None:
    monkeypatch.setattr(closed_forms, "FACTOR_BYTES", 0)
    monkeypatch.setattr(closed_forms, "_SPARE", 10)
    rows, whole = sparse_rows(), sparse_rows().T @ sparse_rows()
    found = Gram.of_histories(rows, rank=8)
    values, vectors = np.linalg.eigh(whole.toarray())
    best = (vectors[:, -8:] * values[-8:]) @ vectors[:, -8:].T
    np.testing.assert_allclose(found.factor.T @ found.factor, best, atol=0.02 * values[-1])
    np.testing.assert_allclose(np.diag(found.dense()), whole.diagonal(), rtol=1e-4)
    np.testing.assert_allclose(found.operator() @ np.ones(70, np.float32), found.dense().sum(1), rtol=1e-4)


def test_a_compressed_teacher_is_ease_of_the_compressed_matrix(monkeypatch) -> None:
    monkeypatch.setattr(closed_forms, "FACTOR_BYTES", 0)
    monkeypatch.setattr(closed_forms, "_SPARE", 10)
    gram = Gram.of_histories(sparse_rows(), rank=8)
    thin, dense = (score(ease_teacher(gram, 5.0, form), every_item(70)) for form in (False, True))
    np.testing.assert_allclose(thin, dense, atol=1e-4)
