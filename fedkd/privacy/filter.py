"""Budgets for releases that are chosen after earlier ones were seen.

Fixed schedules have a privacy loss to compose, adaptive ones have not. For one order ``a`` fixed beforehand, releases
that stop before the sum of their Renyi divergences exceeds ``B(a)`` are together bounded by ``B(a)``, however they were
chosen (Feldman & Zrnic, Individual privacy accounting via a Renyi filter, NeurIPS 2021, theorem 4.3).

Several orders: the filter goes on while any of them has room, and each of ``k`` orders is given ``delta / k``. The
outcomes at whose end an order has room are outcomes of that order's own filter, with the same probabilities under both
of two neighbours; their hockey-stick divergences add up to at most ``delta``.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from scipy.special import gammaln, logsumexp

from fedkd.errors import UserError
from fedkd.privacy.cost import ORDERS, Adjacency
from fedkd.privacy.schedule import Release, Response

FAINTEST = 1e-15
"""Releases that cost less than this are counted as if they cost so much."""


@dataclass(frozen=True)
class RenyiFilter:
    """What adaptively chosen releases have cost, and the budget they must keep to.

    Attributes
    ----------
    epsilon, delta : float
        The total budget.
    adjacency : str
        ``add-remove`` or ``replace-one``.
    orders : tuple of int, optional
        Whole orders of the Renyi divergence, at least 2, chosen before the first release; the single best one for
        Gaussian noise without any.
    spent : tuple of float
        The divergence so far at every order; enough to go on after a restart.
    """

    epsilon: float
    delta: float
    adjacency: Adjacency = "add-remove"
    orders: tuple[int, ...] = ()
    spent: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (self.epsilon > 0 and math.isfinite(self.epsilon)):
            raise UserError(f"epsilon is {self.epsilon}; it must be positive and finite, for example 4")
        if not 0 < self.delta < 1:
            raise UserError(f"delta is {self.delta}; it must be between 0 and 1, and well below 1 / clients")
        if self.adjacency not in ("add-remove", "replace-one"):
            raise UserError(f"adjacency is {self.adjacency}; it can be add-remove or replace-one")
        orders = self.orders or (_best_order(self.epsilon, self.delta),)
        if any(order < 2 or order != int(order) for order in orders):
            raise UserError(f"the orders of a filter are {orders}; they must be whole numbers from 2 on")
        spent = self.spent or (0.0,) * len(orders)
        if len(spent) != len(orders) or not all(value >= 0 for value in spent):
            raise UserError(f"{len(orders)} orders have spent {spent}; one number, not negative, belongs to each")
        object.__setattr__(self, "orders", tuple(orders))
        object.__setattr__(self, "spent", tuple(spent))

    @cached_property
    def budgets(self) -> tuple[float, ...]:
        """The divergence allowed at every order; negative where an order cannot give the guarantee at all."""
        return tuple(_budget(self.epsilon, self.delta / len(self.orders), order) for order in self.orders)

    @property
    def share(self) -> float:
        """How much of the budget is gone, between 0 and 1, at the order that has most room."""
        return min(s / b if b > 0 else 1.0 for s, b in zip(self.spent, self.budgets, strict=True))

    def allows(self, event: Release | Response) -> bool:
        """Return whether all releases of an event still fit."""
        return self._fits(self._after(event))

    def left(self, event: Release | Response) -> int:
        """Return how many more releases of the kind of an event fit, one by one; never more than do."""
        single = [max(FAINTEST, divergence(replace(event, count=1), order, self.adjacency)) for order in self.orders]
        room = ((b - s) / d for b, s, d in zip(self.budgets, self.spent, single, strict=True))
        count = max(0, math.floor(max(room)))
        while count and not self.allows(replace(event, count=count)):
            count -= 1
        return count

    def charge(self, event: Release | Response) -> "RenyiFilter":
        """Return the filter after an event; to be called, and stored, before the release.

        Raises
        ------
        UserError
            The event does not fit; nothing may be released then.
        """
        if not self.allows(event):
            raise UserError(
                f"the privacy budget of epsilon {self.epsilon:g} at delta {self.delta:g} ({self.adjacency}) has no "
                f"room for another release; {self.share:.1%} of it is spent"
            )
        return replace(self, spent=self._after(event))

    def _after(self, event: Release | Response) -> tuple[float, ...]:
        costs = (divergence(event, order, self.adjacency) for order in self.orders)
        return tuple(spent + cost for spent, cost in zip(self.spent, costs, strict=True))

    def _fits(self, spent: tuple[float, ...]) -> bool:
        return any(value <= budget for value, budget in zip(spent, self.budgets, strict=True))


@lru_cache(maxsize=65536)
def divergence(event: Release | Response, order: int, adjacency: Adjacency) -> float:
    """Return a bound on the Renyi divergence of a whole order of all releases of an event.

    Raises
    ------
    UserError
        Sampling under replace-one, for which no bound is known to be safe here; or a response under add-remove.
    """
    if isinstance(event, Response):
        if adjacency == "add-remove":
            raise UserError("randomised response hides a value, not who answers; account it under replace-one")
        return event.count * _response(event, order)
    if event.rate == 1:
        cost = event.cost(adjacency)
        return cost.xi + order * cost.rho
    if adjacency == "replace-one":
        raise UserError("a filter cannot account sampling under replace-one; use rate 1, or add-remove")
    return event.count * _sampled(event.multiplier, event.rate, order)


def _sampled(multiplier: float, rate: float, order: int) -> float:
    """Return the divergence of Gaussian noise on a Poisson sample.

    Mironov, Talwar & Zhang, Renyi differential privacy of the sampled Gaussian mechanism, 2019, section 3.3; by how
    much the binomial mean of ``exp(k (k - 1) / (2 z^2))`` exceeds 1, which keeps every digit of a rare release.
    """
    k = np.arange(2, order + 1)
    choose = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
    exponent = k * (k - 1) / (2 * multiplier**2)
    excess = choose + k * math.log(rate) + (order - k) * math.log1p(-rate) + exponent + np.log(-np.expm1(-exponent))
    return float(np.logaddexp(0.0, logsumexp(excess))) / (order - 1)


def _response(event: Response, order: int) -> float:
    """Return the divergence of one randomised response from that of another value, by its definition."""
    other = event.randomness / event.values
    kept = 1 - event.randomness + other
    terms = [
        order * math.log(kept) + (1 - order) * math.log(other),
        order * math.log(other) + (1 - order) * math.log(kept),
    ]
    rest = (event.values - 2) * other
    return max(0.0, float(logsumexp(terms + ([math.log(rest)] if rest else []))) / (order - 1))


def _budget(epsilon: float, delta: float, order: int) -> float:
    """Return the divergence that is (epsilon, delta)-private.

    Canonne, Kamath & Steinke, The discrete Gaussian for differential privacy, NeurIPS 2020, proposition 12.
    """
    return epsilon - math.log1p(-1 / order) + (math.log(delta) + math.log(order)) / (order - 1)


def _best_order(epsilon: float, delta: float) -> int:
    """Return the order at which most Gaussian noise fits: their divergences grow in proportion to the order."""
    return max(ORDERS, key=lambda order: _budget(epsilon, delta, order) / order)
