"""Filters: what adaptive choices cost, by another library, by integration, and by the schedule they turn out to be."""

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
from dp_accounting import dp_event
from dp_accounting.rdp import RdpAccountant
from scipy.integrate import quad
from scipy.stats import norm

from fedkd.errors import UserError
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.cost import Adjacency
from fedkd.privacy.filter import RenyiFilter, divergence
from fedkd.privacy.schedule import Release, Response, Schedule

Event = Release | Response

MENUS: dict[Adjacency, tuple[Event, ...]] = {
    "add-remove": (
        Release(20.0, 1.0, 2),
        Release(1.0, 0.02),
        Release(2.0, 0.2, 3),
        Release(8.0),
        Release(0.8, 1e-3, 10),
    ),
    "replace-one": (Release(12.0), Release(40.0, 1.0, 4), Response(0.9, 5), Release(9.0, content="vote")),
}


def played(start: RenyiFilter, seed: int) -> tuple[RenyiFilter, list[Event]]:
    """Let an adversary choose what is released next from how much is left, until eight in a row are refused."""
    rng = np.random.default_rng(seed)
    menu, now, refused = MENUS[start.adjacency], start, 0
    released: list[Event] = []
    while refused < 8 and len(released) < 400:
        greedy = int(now.share * len(menu) + rng.integers(2)) % len(menu)
        event = menu[greedy if rng.random() < 0.5 else int(rng.integers(len(menu)))]
        if now.allows(event):
            now, refused = now.charge(event), 0
            released.append(event)
            continue
        refused += 1
        with pytest.raises(UserError, match="no room"):
            now.charge(event)
    return now, released


def schedule(released: list[Event], adjacency: Adjacency) -> Schedule:
    """Return the schedule that adaptive choices turned out to be."""
    parts = [type(e)(**{**asdict(e), "count": e.count * times}) for e, times in Counter(released).items()]
    return Schedule(tuple(parts), adjacency, "poisson")


def oracle(event: Event, order: float, adjacency: Adjacency) -> float:
    """Return the divergence according to dp-accounting, from the epsilon of a single order."""
    from dp_accounting.privacy_accountant import NeighboringRelation as Relation

    replaced = adjacency == "replace-one"
    accountant = RdpAccountant([order], Relation.REPLACE_ONE if replaced else Relation.ADD_OR_REMOVE_ONE)
    if isinstance(event, Response):
        what: dp_event.DpEvent = dp_event.RandomizedResponseDpEvent(event.randomness, event.values)
    else:
        noise = dp_event.GaussianDpEvent(event.effective(adjacency))
        what = noise if event.rate == 1 else dp_event.PoissonSampledDpEvent(event.rate, noise)
    spent = accountant.compose(what, event.count).get_epsilon(1e-30)
    return float(spent - math.log1p(-1 / order) + (math.log(1e-30) + math.log(order)) / (order - 1))


@pytest.mark.parametrize("order", [2, 3, 7, 16, 64, 200])
@pytest.mark.parametrize("multiplier", [0.8, 2.0, 10.0])
@pytest.mark.parametrize("rate", [1e-4, 0.01, 0.5, 1.0])
def test_a_sampled_divergence_is_that_of_another_library(order: int, multiplier: float, rate: float) -> None:
    event = Release(multiplier, rate, 5)
    assert divergence(event, order, "add-remove") == pytest.approx(
        oracle(event, order, "add-remove"), rel=1e-6, abs=1e-9
    )


@pytest.mark.parametrize(("multiplier", "rate", "order"), [(1.0, 0.1, 2), (2.0, 0.5, 5), (4.0, 0.01, 8)])
def test_a_sampled_divergence_is_its_integral_and_bounds_the_other_direction(
    multiplier: float, rate: float, order: int
) -> None:
    def log_ratio(x: float) -> float:
        return math.log1p(rate * math.expm1((2 * x - 1) / (2 * multiplier**2)))

    def integral(power: int) -> float:
        return quad(lambda x: norm.pdf(x, scale=multiplier) * math.exp(power * log_ratio(x)), -40, 80, limit=500)[0]

    found = divergence(Release(multiplier, rate), order, "add-remove")
    assert found == pytest.approx(math.log(integral(order)) / (order - 1), rel=1e-6)
    assert math.log(integral(1 - order)) / (order - 1) <= found * (1 + 1e-6)


def test_a_release_so_rare_that_it_is_lost_in_rounding_still_costs() -> None:
    assert divergence(Release(1.0, 1e-10), 2, "add-remove") == pytest.approx(1e-20 * math.expm1(1.0), rel=1e-6)


@pytest.mark.parametrize("order", [2, 5, 40])
@pytest.mark.parametrize(("randomness", "values"), [(0.5, 2), (0.9, 7), (0.01, 3)])
def test_the_divergence_of_a_response_is_its_definition(order: int, randomness: float, values: int) -> None:
    kept = np.full(values, randomness / values)
    kept[0] += 1 - randomness
    other = np.roll(kept, 1)
    expected = math.log(float((kept**order * other ** (1.0 - order)).sum())) / (order - 1)
    event = Response(randomness, values, 3)
    assert divergence(event, order, "replace-one") == pytest.approx(3 * expected, rel=1e-9)
    assert divergence(event, order, "replace-one") == pytest.approx(oracle(event, order, "replace-one"), rel=1e-6)
    assert divergence(event, order, "replace-one") <= 3 * event.pure


@pytest.mark.parametrize("adjacency", ["add-remove", "replace-one"])
@pytest.mark.parametrize("orders", [(), (5, 12, 30)])
@pytest.mark.parametrize("seed", range(6))
def test_adaptive_choices_never_exceed_the_budget(adjacency: Adjacency, orders: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    budget, delta = float(10 ** rng.uniform(0.1, 0.9)), float(10 ** rng.uniform(-7, -5))
    end, released = played(RenyiFilter(budget, delta, adjacency, orders), seed)
    assert released
    assert 0 < end.share <= 1
    assert epsilon(schedule(released, adjacency), delta) <= budget
    costs = [sum(oracle(event, order, adjacency) for event in released) for order in end.orders]
    assert end.spent == pytest.approx(costs, rel=1e-6)
    converted = [
        cost + math.log1p(-1 / a) - (math.log(delta / len(costs)) + math.log(a)) / (a - 1)
        for cost, a in zip(costs, end.orders, strict=True)
    ]
    assert min(converted) <= budget * (1 + 1e-6)


def test_gaussian_releases_may_use_nearly_all_of_what_a_fixed_schedule_may() -> None:
    now = RenyiFilter(4.0, 1e-5)
    count = now.left(Release(30.0))
    spent = epsilon(Schedule((Release(30.0, 1.0, count),)), 1e-5)
    assert 0.9 * 4.0 <= spent <= 4.0


def test_the_filter_allows_the_rounds_of_a_published_table_and_hardly_more() -> None:
    """McMahan et al., Learning differentially private recurrent language models, ICLR 2018, table 1, converted anew."""
    for rounds, published, order in ((1000, 0.774, 13), (10_000, 0.884, 13), (100_000, 1.899, 12)):
        event = Release(1.0, 1e-3, rounds)
        assert RenyiFilter(published + 1e-3, 1e5**-1.1, orders=(order,)).allows(event)
        assert not any(RenyiFilter(published - 1e-3, 1e5**-1.1, orders=(a,)).allows(event) for a in range(2, 40))


def test_left_is_what_can_be_charged() -> None:
    for adjacency, menu in MENUS.items():
        for event in menu:
            single = type(event)(**{**asdict(event), "count": 1})
            start = RenyiFilter(1.0, 1e-6, adjacency, (8, 24))
            count = start.left(event)
            assert count == start.left(single)
            assert not count or start.allows(type(event)(**{**asdict(event), "count": count}))
            assert not start.allows(type(event)(**{**asdict(event), "count": count + 1}))
    assert RenyiFilter(1.0, 1e-6, "replace-one").left(Response(1.0)) > 10**12


def test_a_refusal_changes_nothing() -> None:
    start = RenyiFilter(1.0, 1e-5).charge(Release(20.0))
    with pytest.raises(UserError, match=r"epsilon 1 at delta 1e-05 \(add-remove\) has no room"):
        start.charge(Release(0.5))
    assert start == RenyiFilter(1.0, 1e-5).charge(Release(20.0))
    assert start.allows(Release(20.0))


def test_a_restart_goes_on_where_it_stopped() -> None:
    start = RenyiFilter(2.0, 1e-6, orders=(6, 18))
    whole, released = played(start, 3)
    now = start
    for event in released:
        text = json.dumps(now.spent)
        now = RenyiFilter(2.0, 1e-6, orders=(6, 18), spent=tuple(json.loads(text))).charge(event)
    assert now == whole


def test_several_orders_share_delta() -> None:
    several = RenyiFilter(3.0, 1e-5, orders=(4, 8, 16, 32))
    for order, budget in zip(several.orders, several.budgets, strict=True):
        assert RenyiFilter(3.0, 2.5e-6, orders=(order,)).budgets == (budget,)
        assert budget < RenyiFilter(3.0, 1e-5, orders=(order,)).budgets[0]


def test_an_order_without_a_budget_allows_nothing() -> None:
    hopeless = RenyiFilter(0.1, 1e-9, orders=(2,))
    assert hopeless.budgets[0] < 0
    assert not hopeless.allows(Release(1e6))
    assert hopeless.left(Release(1e6)) == 0
    assert RenyiFilter(0.1, 1e-9).allows(Release(1e3))


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "epsilon 0": (lambda: RenyiFilter(0.0, 1e-5), "epsilon is 0"),
    "epsilon without end": (lambda: RenyiFilter(math.inf, 1e-5), "epsilon is inf"),
    "delta 1": (lambda: RenyiFilter(1.0, 1.0), "delta is 1"),
    "adjacency": (lambda: RenyiFilter(1.0, 1e-5, "swap"), "adjacency is swap"),  # type: ignore[arg-type]
    "order 1": (lambda: RenyiFilter(1.0, 1e-5, orders=(1,)), "whole numbers from 2 on"),
    "half an order": (lambda: RenyiFilter(1.0, 1e-5, orders=(2.5,)), "whole numbers"),  # type: ignore[arg-type]
    "spent for another filter": (lambda: RenyiFilter(1.0, 1e-5, orders=(4, 8), spent=(0.1,)), "belongs to each"),
    "negative": (lambda: RenyiFilter(1.0, 1e-5, orders=(4,), spent=(-1.0,)), "not negative"),
    "not a number": (lambda: RenyiFilter(1.0, 1e-5, orders=(4,), spent=(math.nan,)), "not negative"),
    "a response hides no presence": (lambda: RenyiFilter(1.0, 1e-5).charge(Response(0.5)), "not who answers"),
    "sampling under replace-one": (
        lambda: RenyiFilter(1.0, 1e-5, "replace-one").charge(Release(1.0, 0.1)),
        "sampling under replace-one",
    ),
    "sampled votes under replace-one": (
        lambda: RenyiFilter(1.0, 1e-5, "replace-one").charge(Release(1.0, 0.1, content="vote")),
        "sampling under replace-one",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_filter_cannot_account_is_refused_in_words(case: str) -> None:
    wrong, words = REFUSED[case]
    with pytest.raises(UserError, match=words):
        wrong()
