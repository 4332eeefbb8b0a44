"""What leaves a client is bounded, and carries the noise that the plan says."""

import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import sparse

from fedkd.aggregation.clipping import clipped
from fedkd.errors import UserError
from fedkd.messages.types import Answers, Kind, LowRankUpdate, SparseUpdate, Spec
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.events import Cost
from fedkd.privacy.mechanisms.base import ANSWERS, FINEST, Mechanism
from fedkd.privacy.mechanisms.none import NoMechanism
from fedkd.privacy.options import PrivacyOptions
from fedkd.privacy.skellam import skellam, skellam_epsilon, skellam_multiplier
from fedkd.runs.config import load
from fedkd.runs.federation import mechanisms
from fedkd.testing.mechanisms import estimated

HARD = np.array([0.0, -0.0, 1.0, -1.0, 1e38, -1e38, 1e300, 5e-324, 1e-40, np.nan, np.inf, -np.inf, 1e-3, 7.0])


def protection(mode: str = "central", participants: int = 100, releases: int = 1, **more: object) -> Mechanism:
    options = PrivacyOptions.model_validate({"mode": mode, "epsilon": 4.0, "delta": 1e-5, **more})
    return options.planned(participants, releases)


@pytest.mark.parametrize("size", [0, 1, 7, 200])
def test_no_client_exceeds_the_clip_whatever_it_holds(size: int) -> None:
    rng = np.random.default_rng(size)
    guard, clip = protection(), 0.7
    spec = guard.specs({"x": Spec(Kind.SCORES, (size,), clip=clip)})["x"]
    values = rng.choice(HARD, (2500, size)) * rng.choice([1.0, 1e-3, 3.0], (2500, 1))
    bounded = clipped(values, spec, 2500)
    assert np.isfinite(bounded).all()
    assert np.linalg.norm(bounded, axis=1).max(initial=0.0) <= clip
    whole = bounded / (clip * FINEST)
    np.testing.assert_allclose(whole, np.rint(whole), rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_no_client_exceeds_the_clip_in_factors(seed: int) -> None:
    """2,500 clients of none to many rows, both factors with what is not finite, tiny, huge, or all zeros."""
    rng = np.random.default_rng(seed)
    guard = protection()
    spec = guard.specs({"x": Spec(Kind.STATISTICS, (6, 9), clip=1.0)})["x"]
    owner = np.sort(rng.integers(0, 2500, 6000))
    left = np.where(rng.random((6000, 1)) < 0.9, rng.choice(HARD, (6000, 6)), 0.0)
    right: Any = (rng.random((6000, 9)) < 0.4).astype(np.int64)
    if seed % 2:
        right = np.where(rng.random((6000, 9)) < 0.1, rng.choice(HARD, (6000, 9)), right)
    bounded = clipped(LowRankUpdate(sparse.csr_array(left), sparse.csr_array(right), owner), spec, 2500)
    norms = [np.linalg.norm(bounded.of(client)) for client in range(2500)]
    assert np.isfinite(norms).all()
    assert max(norms) <= 1.0
    assert min(norms) == 0.0


def test_no_client_exceeds_the_clip_in_entries() -> None:
    """Entries at one position are one number; the sum is that of dense answers."""
    rng, guard = np.random.default_rng(0), protection()
    spec = guard.specs({"x": Spec(Kind.STATISTICS, (30,), clip=1.0)})["x"]
    owner, position = rng.integers(0, 400, 3000), rng.integers(0, 30, 3000)
    value = np.where(rng.random(3000) < 0.2, rng.choice(HARD, 3000), rng.normal(size=3000))
    bounded = clipped(SparseUpdate(position, value, owner, 30), spec, 400)
    norms = np.array([np.linalg.norm(bounded.of(client)) for client in range(400)])
    assert 0.9 < norms.max() <= 1.0
    tame = np.clip(np.nan_to_num(value), -3, 3)
    whole = np.zeros((400, 30))
    np.add.at(whole, (owner, position), tame)
    entries = guard.contribution(SparseUpdate(position, tame, owner, 30), spec, 400)
    assert entries.dtype == np.int64
    np.testing.assert_allclose(entries, guard.contribution(whole, spec, 400), atol=400)


def test_short_answers_are_left_as_they_are() -> None:
    spec = protection().specs({"x": Spec(Kind.SCORES, (3,), clip=1.0)})["x"]
    values = np.array([[0.5, -0.25, 0.125], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(clipped(values, spec, 2), values)


def test_a_neighbour_moves_the_sum_by_no_more_than_the_clip() -> None:
    rng = np.random.default_rng(1)
    guard = protection(participants=50)
    specs = guard.specs({"x": Spec(Kind.SCORES, (20,), clip=2.0)})
    for _ in range(200):
        values = rng.normal(0, 10.0 ** rng.uniform(-3, 3), (50, 20))
        everyone = guard.aggregator(specs).encode(Answers(1, np.arange(50), {"x": values})).values["x"]
        without = guard.aggregator(specs).encode(Answers(1, np.arange(49), {"x": values[:-1]})).values["x"]
        assert np.linalg.norm((everyone - without) * FINEST * 2.0) <= 2.0


@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
def test_the_sum_carries_the_planned_noise(mode: str) -> None:
    guard = protection(mode, participants=40, honest_fraction=1.0)
    specs = guard.specs({"x": Spec(Kind.SCORES, (20_000,), clip=3.0)})
    answers = Answers(1, np.arange(40), {"x": np.zeros((40, 20_000))})
    sums = estimated(guard, answers, specs).values["x"].value
    assert np.std(sums) / 3.0 == pytest.approx(guard.noise, rel=0.03)
    assert abs(np.mean(sums)) < 6 * np.std(sums) / math.sqrt(20_000)


@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
def test_noise_is_drawn_anew(mode: str) -> None:
    guard = protection(mode)
    specs = guard.specs({"x": Spec(Kind.SCORES, (50,), clip=1.0)})
    answers = Answers(1, np.arange(3), {"x": np.zeros((3, 50))})
    first = estimated(guard, answers, specs).values["x"].value
    second = estimated(guard, answers, specs).values["x"].value
    assert not np.array_equal(first, second)


def test_the_budget_is_what_the_noise_costs() -> None:
    guard = protection(releases=10)
    assert epsilon(Cost.of_gaussian(guard.multiplier / math.sqrt(10)), 1e-5) == pytest.approx(4.0, rel=1e-6)
    assert guard.spent({ANSWERS: 10}) == 4.0
    assert guard.spent({ANSWERS: 1}) < guard.spent({ANSWERS: 5}) < 4.0
    assert protection(adjacency="replace-one").multiplier == pytest.approx(2 * protection().multiplier)


def test_fewer_honest_clients_make_more_noise() -> None:
    assert protection("distributed", honest_fraction=0.5).noise == pytest.approx(
        math.sqrt(2) * protection("distributed", honest_fraction=1.0).noise
    )


def test_skellam_costs_hardly_more_than_renyi_says_of_gaussian_noise() -> None:
    multiplier = skellam_multiplier(4.0, 1e-5, 65536.0, 65536.0 * 4096)
    assert skellam_epsilon((multiplier * 65536) ** 2, 65536.0, 65536.0 * 4096, 1e-5) <= 4.0
    assert 1.0 < multiplier / protection().multiplier < 1.15


def test_skellam_numbers_have_mean_zero_and_their_variance() -> None:
    drawn = skellam(1e8, (200_000,), np.random.default_rng(0))
    assert np.var(drawn) == pytest.approx(1e8, rel=0.02)
    assert abs(np.mean(drawn)) < 100


def test_what_has_no_bound_cannot_be_protected() -> None:
    with pytest.raises(UserError, match="no bound"):
        protection().specs({"x": Spec(Kind.SCORES, (3,))})
    open_ = NoMechanism(PrivacyOptions(), 1, 1).aggregator({"x": Spec(Kind.SCORES, (3,))})
    assert open_.specs == {"x": Spec(Kind.SCORES, (3,))}


def test_a_budget_is_for_one_array_and_a_sensible_delta() -> None:
    one = Spec(Kind.SCORES, (3,), clip=1.0)
    with pytest.raises(UserError, match="one array"):
        protection().specs({"x": one, "y": one})
    config = load(None, ["privacy.mode=central", "privacy.epsilon=1", "privacy.delta=0.01", "fraction-train=0.1"])
    with pytest.raises(UserError, match=r"privacy\.delta.*540 clients"):
        mechanisms(config, 540)  # 54 are asked in a round, but any of 540 could be published
    assert mechanisms(config, 99).answers.participants == 10


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "none", "epsilon": 1.0},
        {"mode": "central", "epsilon": 1.0},
        {"mode": "local", "epsilon": -1.0, "delta": 1e-5},
        {"mode": "central", "epsilon": math.nan, "delta": 1e-5},
        {"mode": "central", "epsilon": 1.0, "delta": 1.0},
    ],
)
def test_half_a_budget_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PrivacyOptions.model_validate(wrong)


@pytest.mark.parametrize("variance", [1e3, 4e14])
def test_skellam_noise_is_as_wide_as_it_says_however_wide(variance: float) -> None:
    drawn = skellam(variance, (40_000,), np.random.default_rng(0)).astype(np.float64)
    assert drawn.var() == pytest.approx(variance, rel=0.04)  # five standard errors
    assert abs(drawn.mean()) < 5 * (variance / len(drawn)) ** 0.5
