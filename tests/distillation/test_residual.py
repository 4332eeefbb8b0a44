import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.distillation.closed_forms import ease_teacher, low_rank_student
from fedkd.distillation.residual import (
    UserWeights,
    answer,
    answer_spec,
    history_reference,
    item_reference,
    pooled_gram,
    ridge,
    sizes_for_budget,
)
from fedkd.errors import UserError
from fedkd.messages.serialisation import packed_bytes
from fedkd.models.base import score
from fedkd.ragged import Ragged

WEIGHTS = UserWeights()


def make_users(users, items=30, seed=0):
    """Users of a few tastes, over a catalogue whose first items are the most popular."""
    rng = np.random.default_rng(seed)
    chance = rng.random((3, items)) * np.linspace(0.9, 0.2, items)
    rows = [np.flatnonzero(rng.random(items) < chance[user % 3]) for user in range(users)]
    catalogue = Catalogue.numbered(items)
    return Interactions(np.arange(users).astype(str), Ragged.from_rows(rows, np.int32), catalogue)


def nobody(items=30):
    return Interactions(np.zeros(0, str), Ragged.from_rows([], np.int32), Catalogue.numbered(items))


def of_histories(public, references, panel):
    return history_reference(public, public.most_popular(), references, panel)


def own(users):
    return np.arange(users.num_users)


def block(users, reference):
    return answer(users.histories, own(users), reference, WEIGHTS, users.num_items).total()


def naive_gram(users):
    matrix = users.matrix(np.float64).toarray()
    return sum(w * np.outer(x, x) for w, x in zip(WEIGHTS.of(matrix.sum(1)), matrix, strict=True))


def naive_ease(gram, l2):
    inverse = np.linalg.inv(gram + l2 * np.eye(len(gram)))
    weights = np.eye(len(gram)) - inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def trained_student(x, damping, steps=400):
    """Gradient descent on |x - x B|^2 / 2 + damping/2 |B|^2 from zero."""
    student = np.zeros((len(x), len(x)))
    for _ in range(steps):
        student -= (np.outer(x, x @ student - x) + damping * student) / (x.sum() + damping)
    return student


def test_answer_is_what_training_changed_in_the_students_scores_up_to_the_level():
    users = make_users(6)
    reference = of_histories(make_users(4, seed=1), 4, 12)
    outer = answer(users.histories, own(users), reference, UserWeights(10**6), users.num_items)
    shown = np.zeros((4, 30))
    shown[reference.histories.row_index, reference.histories.values] = 1
    for user, x in enumerate(users.matrix(np.float64).toarray()):
        scores = (shown @ trained_student(x, 50.0))[:, reference.panel]
        np.testing.assert_allclose(outer.of(user) / (10**6 * 50), scores, atol=1e-7)


@pytest.mark.parametrize("kind", ["items", "histories"])
def test_sum_over_users_equals_a_naive_loop_and_stays_whole(kind):
    users, public = make_users(40), make_users(9, seed=1)
    reference = item_reference(public.most_popular(), 5, 11) if kind == "items" else of_histories(public, 5, 11)
    expected = np.zeros((5, 11), int)
    for user in range(users.num_users):
        history = set(users.histories[user].tolist())
        level = WEIGHTS.of(np.array(len(history)))
        for row in range(5):
            overlap = len(history & set(reference.histories[row].tolist()))
            expected[row] += level * overlap * np.isin(reference.panel, list(history))
    total = block(users, reference)
    assert total.dtype == np.int64
    np.testing.assert_array_equal(total, expected)


def test_withdrawing_a_client_leaves_no_trace():
    users = make_users(12)
    reference = item_reference(users.most_popular(), 6, 20)
    outer = answer(users.histories, own(users), reference, WEIGHTS, 30)
    np.testing.assert_array_equal(outer.total() - outer.of(4), block(users.take(np.delete(own(users), 4)), reference))


@pytest.mark.parametrize("public", [nobody(), make_users(7, seed=2)], ids=["nobody public", "seven public"])
def test_teacher_is_exact_when_references_span_the_catalogue(public):
    users = make_users(60)
    reference = item_reference(public.most_popular(), 30, 30)
    gram = pooled_gram(block(users, reference), reference, public, WEIGHTS, 60)
    whole = naive_gram(users) + (naive_gram(public) if public.num_users else 0)
    np.testing.assert_allclose(gram.dense(), whole, atol=1e-9 * whole.max())
    history = users.matrix(np.float64).toarray()
    np.testing.assert_allclose(
        score(ease_teacher(gram, 40.0), users.histories), history @ naive_ease(whole, 40.0), atol=1e-6
    )


def test_public_histories_that_span_all_histories_are_exact_too():
    users = make_users(60, items=12)
    reference = of_histories(make_users(40, items=12, seed=3), 40, 12)
    gram = pooled_gram(block(users, reference), reference, nobody(12), WEIGHTS, 60)
    np.testing.assert_allclose(gram.dense(), naive_gram(users), atol=1e-6 * naive_gram(users).max())


def test_completion_is_nystroems_and_the_complement_is_what_public_users_add():
    users, public = make_users(50), make_users(8, seed=4)
    reference = item_reference(public.most_popular(), 6, 30)
    gram = pooled_gram(block(users, reference), reference, public, WEIGHTS, 50, complement=0.5)
    refs = reference.histories.values

    def nystroem(matrix):
        return matrix[:, refs] @ np.linalg.pinv(matrix[np.ix_(refs, refs)], rcond=1e-9) @ matrix[refs]

    private, shared = naive_gram(users), naive_gram(public)
    expected = nystroem(private) + shared + 0.5 * 50 / 8 * (shared - nystroem(shared))
    np.testing.assert_allclose(gram.dense(), expected, atol=1e-8 * expected.max())


def test_nothing_private_is_claimed_outside_the_panel():
    users = make_users(50)
    reference = item_reference(users.most_popular(), 5, 10)
    gram = pooled_gram(block(users, reference), reference, nobody(), WEIGHTS, 50)
    outside = np.setdiff1d(np.arange(30), reference.panel)
    assert not gram.factor[:, outside].any()


def test_before_the_first_answer_the_server_knows_the_public_users_alone():
    public = make_users(8)
    reference = item_reference(public.most_popular(), 5, 10)
    gram = pooled_gram(np.zeros((5, 10), np.int64), reference, public, WEIGHTS, 0)
    np.testing.assert_allclose(gram.dense(), naive_gram(public), atol=1e-9)


def test_without_public_users_a_model_comes_out_and_references_follow_the_catalogue():
    users = make_users(60)
    reference = item_reference(nobody().most_popular(), 8, 16)
    np.testing.assert_array_equal(reference.panel, np.arange(16))
    gram = pooled_gram(block(users, reference), reference, nobody(), WEIGHTS, 60)
    teacher = ease_teacher(gram, ridge(400, nobody(), WEIGHTS))
    assert np.isfinite(score(low_rank_student(teacher, gram, 4), users.histories)).all()


@given(st.integers(0, 5000), st.integers(1, 64), st.floats(1, 500))
def test_levels_are_within_half_a_step_of_the_weight(length, levels, damping):
    level = int(UserWeights(levels, damping).of(np.array([length]))[0])
    exact = levels * damping / (length + damping)
    assert 1 <= level <= levels
    assert abs(level - exact) <= 0.5 or (level == 1 and exact < 1)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 99))
def test_the_largest_possible_sum_fits_the_modulus(users, levels, seed):
    weights = UserWeights(levels)
    reference = of_histories(make_users(3, seed=seed), 3, 30)
    spec = answer_spec(reference, weights, users)
    everything = Ragged.from_rows([np.arange(30)] * users, np.int32)
    outer = answer(everything, np.arange(users), reference, weights, 30)
    assert outer.total().max() < 1 << spec.quantiser.bits
    assert np.abs(outer.left.data).max() <= spec.quantiser.high


def test_order_of_references_is_popularity_then_catalogue():
    counts = Ragged.from_rows([[1], [1], [0, 1, 2], [2], [0, 2], [4]], np.int32)
    users = Interactions(np.arange(6).astype(str), counts, Catalogue.numbered(5))
    reference = item_reference(users.most_popular(), 2, 4)
    np.testing.assert_array_equal(reference.panel, [1, 2, 0, 4])
    np.testing.assert_array_equal(reference.histories.values, [1, 2])


@given(st.integers(20, 50_000), st.integers(1, 40_000), st.integers(1000, 4_000_000))
def test_sizes_fit_the_budget(items, users, budget):
    references, panel = sizes_for_budget(items, users, 7, budget)
    assert 1 <= references <= panel <= items
    assert packed_bytes(references * panel, (7 * users).bit_length()) <= budget


def test_a_large_budget_takes_the_whole_catalogue():
    assert sizes_for_budget(50, 100, 7, 10**7) == (50, 50)
    assert sizes_for_budget(50, 100, 7, 0) == (50, 50)


def test_ridge_is_the_strength_times_the_mean_weight_of_an_interaction():
    public = make_users(5)
    lengths = public.histories.lengths
    interactions = np.repeat(WEIGHTS.of(lengths), lengths)
    assert ridge(400, public, WEIGHTS) == pytest.approx(400 * interactions.mean())


@pytest.mark.parametrize(("references", "panel"), [(0, 5), (6, 5), (5, 31)])
def test_impossible_item_references_are_refused(references, panel):
    with pytest.raises(UserError, match=r"set algorithm\.references to at most the panel"):
        item_reference(np.arange(30, dtype=np.int32), references, panel)


def test_more_reference_histories_than_public_users_are_refused():
    with pytest.raises(UserError, match=r"partition\.public-fraction"):
        of_histories(make_users(3), 4, 10)


def test_a_budget_below_one_number_is_refused():
    with pytest.raises(UserError, match="does not hold one number"):
        sizes_for_budget(100, 1000, 7, 1)
