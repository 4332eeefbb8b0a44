import numpy as np
import pytest

from fedkd.feedback import behaviour, off_policy

ITEMS, PLACES, BIAS, EXPLORATION = 8, 3, 1.0, 0.3


def log(rng: np.random.Generator, lists: int) -> tuple[behaviour.Shown, np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Return what was shown and clicked, another policy's lists, and the truth, all of users who differ."""
    attraction = rng.random((lists, ITEMS)) ** 2
    open_to = rng.random((lists, ITEMS)) < 0.8
    open_to[:, :PLACES] = True
    policy, other = np.tile(np.arange(PLACES), (lists, 1)), np.tile(np.arange(PLACES)[::-1], (lists, 1))
    shown = behaviour.show(policy, np.arange(lists), open_to, EXPLORATION, rng)
    return shown, behaviour.clicks(shown, attraction, BIAS, rng), other, attraction


def test_estimates_of_another_policy_are_right_on_average_and_their_intervals_cover_the_truth() -> None:
    rng, errors, covered = np.random.default_rng(0), [], np.zeros(3)
    for _ in range(120):
        shown, clicked, other, attraction = log(rng, 1500)
        truth = behaviour.value(other, shown.user, attraction, BIAS).mean()
        found = [
            off_policy.inverse_propensity(shown, clicked, other),
            off_policy.self_normalised(shown, clicked, other),
            off_policy.doubly_robust(shown, clicked, other, off_policy.click_model(shown, clicked, ITEMS)),
        ]
        errors.append([each["mean"] - truth for each in found])
        covered += [each["low"] <= truth <= each["high"] for each in found]
    spread = np.std(errors, axis=0) / np.sqrt(120)
    assert (np.abs(np.mean(errors, axis=0)) < 4 * spread + 0.01).all()
    assert (covered / 120 > 0.88).all()
    assert np.std(errors, axis=0)[2] <= np.std(errors, axis=0)[0]  # the model takes variance away


def test_propensities_are_the_shares_with_which_items_are_shown() -> None:
    rng, lists = np.random.default_rng(1), 40_000
    open_to = np.tile(np.arange(ITEMS) != 5, (lists, 1))
    policy = np.tile([2, 0, 7], (lists, 1))
    shown = behaviour.show(policy, np.arange(lists), open_to, EXPLORATION, rng)
    for place in range(PLACES):
        for item in range(ITEMS):
            here = shown.items[:, place] == item
            if item == 5:
                assert not here.any()
            else:
                said = behaviour.propensities(policy, np.full_like(policy, item), np.full(lists, 7), EXPLORATION)
                assert here.mean() == pytest.approx(said[0, place], abs=0.01)
                assert np.allclose(shown.propensity[here, place], said[0, place])


def test_a_place_is_clicked_with_its_attention_times_attraction() -> None:
    rng, lists = np.random.default_rng(2), 20_000
    shown = behaviour.Shown(np.zeros(lists, np.int64), np.tile([0, 1, 2], (lists, 1)), np.ones((lists, 3)))
    attraction = np.array([[0.9, 0.5, 0.8]])
    rate = behaviour.clicks(shown, attraction, 1.0, rng).mean(0)
    assert rate == pytest.approx([0.9, 0.25, 0.8 / 3], abs=0.012)
    assert behaviour.value(shown.items[:1], shown.user[:1], attraction, 1.0)[0] == pytest.approx(0.9 + 0.25 + 0.8 / 3)
    assert behaviour.clicks(shown, np.zeros((1, 3)), 1.0, rng).sum() == 0  # no click is an outcome, too


def test_the_best_lists_are_those_of_greatest_value() -> None:
    rng = np.random.default_rng(3)
    attraction, open_to = rng.random((5, ITEMS)), rng.random((5, ITEMS)) < 0.7
    open_to[:, :3] = True
    for user, found in enumerate(behaviour.best(attraction, open_to, 3)):
        ranked = sorted(np.flatnonzero(open_to[user]), key=lambda item: -attraction[user, item])
        assert found.tolist() == ranked[:3]
