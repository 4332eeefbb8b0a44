import numpy as np
import pytest
from scipy import sparse

from fedkd.distillation import closed_forms
from fedkd.distillation.closed_forms import Gram, ease_teacher, low_rank_student, teacher_operator
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
