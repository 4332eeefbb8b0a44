import numpy as np
import pytest

from fedkd.aggregation.answer_budget import AnswerBudget
from fedkd.distillation.score_directions import AGREEMENT, affordable, leading_directions, shrunk, signal_share


@pytest.fixture
def scores():
    return np.random.default_rng(0).standard_normal((9, 40)).astype(np.float32)


def test_directions_are_orthonormal_and_keep_more_of_the_scores_than_others(scores):
    directions = leading_directions(scores, 3)
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), atol=1e-6)
    others = np.linalg.qr(np.random.default_rng(1).standard_normal((9, 3)))[0].T
    assert np.linalg.norm(directions @ scores) > np.linalg.norm(others @ scores)
    values = np.linalg.svd(scores, compute_uv=False)[:3]
    np.testing.assert_allclose(np.linalg.norm(directions @ scores, axis=1), values, rtol=1e-5)


@pytest.mark.parametrize(("noise", "clients"), [(0.6, 849), (4.0, 849), (2.0, 5436), (30.0, 849), (1e6, 10)])
def test_noise_stays_below_what_clients_can_say_together(noise, clients):
    size = affordable(AnswerBudget(clients, noise), references=94, items=1682)
    assert 1 <= size.directions <= 94
    assert 1 <= size.items <= 1682
    coordinates = size.directions * size.items
    assert coordinates == 1 or noise * coordinates**0.5 <= AGREEMENT * clients * (1 + 1e-9)


def test_more_noise_means_fewer_coordinates():
    sizes = [affordable(AnswerBudget(849, noise), 94, 1682) for noise in (0.1, 0.6, 2.0, 6.0, 20.0)]
    counts = [size.directions * size.items for size in sizes]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 50 * counts[-1]


def test_there_is_no_signal_in_pure_noise():
    rng = np.random.default_rng(2)
    shares = [signal_share(3.0 * rng.standard_normal((8, 400)), 3.0) for _ in range(50)]
    assert np.mean(shares) < 0.03
    assert max(shares) < 0.1


def test_without_noise_all_is_signal_and_nothing_changes(scores):
    assert signal_share(scores, 0.0) == 1.0
    np.testing.assert_array_equal(shrunk(scores, 0.0), scores)
    assert signal_share(np.zeros((2, 3)), 0.0) == 0.0


def test_the_share_is_that_of_the_squares():
    rng = np.random.default_rng(3)
    signal = 2.0 * rng.standard_normal((20, 500))
    assert signal_share(signal + rng.standard_normal((20, 500)), 1.0) == pytest.approx(4 / 5, abs=0.02)


def test_denoising_drops_faint_directions_and_comes_nearer_to_the_truth():
    rng = np.random.default_rng(4)
    truth = np.outer([5.0, 1.0, 0.0, 0.0], rng.standard_normal(300))
    seen = truth + rng.standard_normal((4, 300))
    found = shrunk(seen, 1.0)
    assert np.linalg.norm(found - truth) < 0.8 * np.linalg.norm(seen - truth)
    assert np.linalg.norm(found[2:]) < 0.5 * np.linalg.norm(seen[2:])
