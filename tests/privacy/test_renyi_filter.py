"""Filters: what adaptive choices cost, by another library, by integration, and by the schedule they turn out to be."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dp_accounting import dp_event
from dp_accounting.rdp import RdpAccountant
from scipy.integrate import quad
from scipy.stats import norm

from fedkd.errors import UserError
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.budget import Budget
from fedkd.privacy.events import Adjacency, Cost, Steps, skellam_cost, total
from fedkd.privacy.ledger import BudgetExhausted, Ledger
from fedkd.privacy.renyi_filter import allows, divergence, least_epsilon
from fedkd.privacy.schedule import Release, Schedule

MENUS: dict[Adjacency, tuple[Cost, ...]] = {
    "add-remove": (
        Cost.of_gaussian(20.0).times(2),
        Cost.of_steps("add-remove", 3.0, 0.02, 4),
        Cost.of_steps("add-remove", 2.0, 0.2, 3),
        Cost.of_gaussian(8.0),
        Cost.of_steps("add-remove", 0.8, 1e-3, 10),
    ),
    "replace-one": (
        Cost.of_gaussian(6.0),
        Cost.of_steps("replace-one", 9.0, 0.2, 2),
        Cost.of_steps("replace-one", 3.0, 0.01, 20),
        Cost.of_gaussian(20.0).times(4),
    ),
}


def played(ledger: Ledger, limit: Budget, seed: int) -> list[Cost]:
    """Let an adversary choose what is released next from how much is left, until eight in a row are refused."""
    rng = np.random.default_rng(seed)
    menu, refused = MENUS[limit.adjacency], 0
    released: list[Cost] = []
    while refused < 8 and len(released) < 300:
        gone = int(ledger.spent("data").rho * 100 + 3 * refused) % len(menu)
        cost = menu[gone if rng.random() < 0.5 else int(rng.integers(len(menu)))] if released else menu[1]
        try:
            ledger.charge("data", f"release {len(released)}", cost, limit)
        except BudgetExhausted:
            refused += 1
        else:
            released, refused = [*released, cost], 0
    return released


def schedule(released: list[Cost], adjacency: Adjacency) -> Schedule:
    """Return the schedule that adaptive choices turned out to be."""
    unit = 2.0 if adjacency == "replace-one" else 1.0
    plain = [Release(unit * (2 * cost.rho) ** -0.5) for cost in released if cost.rho]
    steps = [Release(s.multiplier, s.rate, s.count) for s in total(released).sampled]
    counted = [replace(one, count=times) for one, times in Counter(plain).items()]
    return Schedule((*counted, *steps), adjacency, "poisson")


def oracle(step: Steps, order: float) -> float:
    """Return the divergence according to dp-accounting, from the epsilon of a single order."""
    noise = dp_event.GaussianDpEvent(step.multiplier)
    what = noise if step.rate == 1 else dp_event.PoissonSampledDpEvent(step.rate, noise)
    spent = RdpAccountant([order]).compose(what, step.count).get_epsilon(1e-30)
    return float(spent - math.log1p(-1 / order) + (math.log(1e-30) + math.log(order)) / (order - 1))


@pytest.mark.parametrize("order", [2, 3, 7, 16, 64, 200])
@pytest.mark.parametrize("multiplier", [0.8, 2.0, 10.0])
@pytest.mark.parametrize("rate", [1e-4, 0.01, 0.5, 1.0])
def test_a_sampled_divergence_is_that_of_another_library(order: int, multiplier: float, rate: float) -> None:
    cost = Cost.of_steps("add-remove", multiplier, rate, 5)
    assert divergence(cost, order) == pytest.approx(oracle(cost.sampled[0], order), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("multiplier", "rate", "order"), [(1.0, 0.1, 2), (2.0, 0.5, 5), (4.0, 0.01, 8)])
def test_a_sampled_divergence_is_its_integral_and_bounds_the_other_direction(
    multiplier: float, rate: float, order: int
) -> None:
    def log_ratio(x: float) -> float:
        return math.log1p(rate * math.expm1((2 * x - 1) / (2 * multiplier**2)))

    def integral(power: int) -> float:
        return quad(lambda x: norm.pdf(x, scale=multiplier) * math.exp(power * log_ratio(x)), -40, 80, limit=500)[0]

    found = divergence(Cost.of_steps("add-remove", multiplier, rate, 1), order)
    assert found == pytest.approx(math.log(integral(order)) / (order - 1), rel=1e-6)
    assert math.log(integral(1 - order)) / (order - 1) <= found * (1 + 1e-6)


@pytest.mark.parametrize(
    ("multiplier", "rate", "order"),
    [(0.4, 0.3, 3), (1.0, 0.1, 2), (1.0, 1.0, 4), (2.0, 0.5, 5), (4.0, 0.01, 8), (10.0, 0.9, 40), (30.0, 0.2, 200)],
)
def test_the_divergence_of_replaced_vectors_is_its_integral(multiplier: float, rate: float, order: int) -> None:
    def density(x: float, mean: float) -> float:
        return (1 - rate) * norm.pdf(x, 0, multiplier) + rate * norm.pdf(x, mean, multiplier)

    def integrand(x: float) -> float:
        one, other = density(x, 1.0), density(x, -1.0)
        return math.exp(order * math.log(one) + (1 - order) * math.log(other)) if one and other else 0.0

    ends = (-12 * multiplier, 2 * order + 12 * multiplier)
    points = [0.0, 1.0, float(order), 2.0 * order - 1]
    whole = quad(integrand, *ends, points=points, limit=2000, epsabs=0, epsrel=1e-10)[0]
    found = divergence(Cost.of_steps("replace-one", multiplier, rate, 3), order)
    assert found == pytest.approx(3 * math.log(whole) / (order - 1), rel=1e-6, abs=1e-9)
    if rate == 1:  # two normals two clips apart
        assert found == pytest.approx(3 * order * 4 / (2 * multiplier**2), rel=1e-9)
    assert found <= 3 * order * 4 / (2 * multiplier**2) * (1 + 1e-9)


def test_a_release_so_rare_that_it_is_lost_in_rounding_still_costs() -> None:
    rare = Cost.of_steps("add-remove", 1.0, 1e-10, 1)
    assert divergence(rare, 2) == pytest.approx(1e-20 * math.expm1(1.0), rel=1e-6)
    assert divergence(Cost.of_steps("replace-one", 1.0, 1e-10, 1), 2) > 0


@pytest.mark.parametrize("adjacency", ["add-remove", "replace-one"])
@pytest.mark.parametrize("seed", range(5))
def test_adaptive_choices_never_exceed_the_budget(tmp_path: Path, adjacency: Adjacency, seed: int) -> None:
    rng = np.random.default_rng(seed)
    limit = Budget(float(10 ** rng.uniform(0.1, 0.9)), float(10 ** rng.uniform(-7, -5)), adjacency, adaptive=True)
    released = played(Ledger(tmp_path / "ledger"), limit, seed)
    assert {bool(cost.sampled) for cost in released} == {True, False}
    assert epsilon(schedule(released, adjacency), limit.delta) <= limit.epsilon
    assert least_epsilon(total(released), limit.delta) <= limit.epsilon * (1 + 1e-6)
    assert not all(limit.allows([*released, cost]) for cost in MENUS[adjacency])


def test_gaussian_releases_may_use_nearly_all_of_what_a_fixed_schedule_may() -> None:
    limit, one = Budget(4.0, 1e-5, adaptive=True), Cost.of_gaussian(30.0)
    count = max(n for n in range(1, 2000) if limit.allows([one.times(n)]))
    assert 0.9 * 4.0 <= epsilon(one.times(count), 1e-5) <= 4.0


@pytest.mark.parametrize("delta", [1e-7, 1e-5, 1e-2])
def test_the_least_budget_that_allows_a_cost_is_found(delta: float) -> None:
    costs = [*MENUS["add-remove"], *MENUS["replace-one"], skellam_cost(1e10, 65536.0, 2.7e8), Cost.of_gaussian(0.1)]
    for cost in costs:
        needed = least_epsilon(cost, delta)
        assert allows(cost, needed, delta)
        assert needed < 1e-9 or not allows(cost, needed * (1 - 1e-6), delta)
        assert needed >= epsilon(cost, delta) * (1 - 1e-9)
    assert least_epsilon(Cost.of_gaussian(1e-5), delta) == math.inf


@pytest.mark.parametrize("delta", [-1.0, 0.0, 1.0, 2.0, math.nan])
def test_a_delta_that_means_nothing_is_refused(delta: float) -> None:
    with pytest.raises(UserError, match="delta is"):
        least_epsilon(Cost.of_gaussian(3.0), delta)
    with pytest.raises(UserError, match="delta is"):
        Budget(4.0, delta)


@pytest.mark.parametrize("epsilon", [-1.0, 0.0, math.inf, math.nan])
def test_a_budget_without_an_end_is_refused(epsilon: float) -> None:
    with pytest.raises(UserError, match=r"epsilon is .*above 0 and finite"):
        Budget(epsilon, 1e-5)


def test_without_a_filter_the_first_release_fixes_the_kind() -> None:
    exact, concentrated = Cost.of_gaussian(9.0), Cost(0.01, gaussian=False)
    steps, others = (Cost.of_steps("add-remove", 2.0, rate, 5) for rate in (0.1, 0.2))
    wide = Budget(50.0, 1e-5)
    for fits in ([exact, exact.times(0.5)], [concentrated, exact], [steps, steps]):
        assert wide.allows(fits)
    for mixed in ([exact, concentrated], [steps, others], [steps, exact], [exact, steps], [concentrated, steps]):
        assert not wide.allows(mixed)
        assert replace(wide, adaptive=True).allows(mixed)


def test_budgets_that_are_counted_differently_are_never_added(tmp_path: Path) -> None:
    book, wide = Ledger(tmp_path / "ledger"), Budget(50.0, 1e-5)
    for first, second in ((wide, replace(wide, adaptive=True)), (replace(wide, adaptive=True), wide)):
        data = f"first adaptive: {first.adaptive}"
        book.charge(data, "one", Cost.of_gaussian(9.0), first)
        with pytest.raises(BudgetExhausted):
            book.charge(data, "two", Cost.of_gaussian(9.0), second)
        assert book.remaining(data, Cost.of_gaussian(9.0), first) > 10


def test_a_run_without_room_in_an_adaptive_budget_is_told_how_much_it_needs() -> None:
    cost, limit = Cost.of_gaussian(1.1), Budget(4.0, 1e-5, adaptive=True)
    assert epsilon(cost, 1e-5) < 4.0
    with pytest.raises(UserError, match=r"set privacy.epsilon-limit=4\.\d\d? or more") as told:
        limit.check_room(cost, "privacy.epsilon-limit")
    enough = float(str(told.value).split("=")[-1].split()[0])
    replace(limit, epsilon=enough).check_room(cost, "privacy.epsilon-limit")
