import numpy as np
import pytest

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
