"""The accountant: epsilon of past or planned releases, and the noise that a budget allows.

Epsilon is a function of accounting events: of a ``Cost`` (``fedkd.privacy.events``) or a ``Schedule``
(``fedkd.privacy.schedule``). It is exact where that is possible, and rounded up everywhere else:

- Releases that reveal no more than Gaussian ones with multipliers ``z_i`` reveal together no more than a single one
  with ``(sum of z_i^-2)^(-1/2)`` (Dong, Roth & Su, Gaussian differential privacy, JRSS B 2022, corollary 2), also when
  each is chosen after the earlier ones were seen (Smith & Thakurta, Fully adaptive composition for Gaussian
  differential privacy, 2022). The sum becomes epsilon in closed form (``fedkd.privacy.gaussian``).
- Other noise without sampling: Renyi divergences, converted as in Canonne, Kamath & Steinke, The discrete Gaussian for
  differential privacy, NeurIPS 2020, proposition 12.
- Poisson sampling, randomised response: privacy loss distributions of dp-accounting, rounded up (Doroshenko et al.,
  Connect the dots, PoPETs 2022), on a grid that is halved until epsilon moves by less than half a per cent.

Releases chosen after earlier ones were seen, of whatever kind, are held to a budget by ``fedkd.privacy.renyi_filter``.
"""

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

from fedkd.errors import UserError
from fedkd.privacy import gaussian
from fedkd.privacy.calibration import bisect_ratio, check_budget, check_delta, smallest_enough
from fedkd.privacy.events import Adjacency, Cost, total
from fedkd.privacy.schedule import SENSITIVITY, Release, Response, Sampling, Schedule

ORDERS: tuple[int, ...] = (*range(2, 128), *(round(128 * 2.0 ** (step / 15)) for step in range(270)))
"""Whole orders of the Renyi divergence; any of them gives a valid bound."""

SMALLEST_DELTA = 1e-12
"""Smallest delta at which the rounding errors of a numeric accountant are negligible."""

CLOSE = 0.005
"""Relative change of epsilon below which the grid is fine enough and is not halved again."""

HALVINGS = 14
"""Most halvings of the grid; schedules of rare and revealing releases need most."""


@lru_cache(maxsize=4096)
def epsilon(event: Cost | Schedule, delta: float) -> float:
    """Return epsilon at a delta, rounded up; infinite where nothing is guaranteed.

    Raises
    ------
    UserError
        A delta outside (0, 1), or too small for a numeric accountant where there is no closed form; sampled steps
        beside noise that is not Gaussian.
    """
    check_delta(delta)
    if isinstance(event, Schedule):
        return _of_schedule(event, delta)
    if event.sampled:
        return _of_schedule(_as_schedule(event), delta)
    if event.rho == 0:
        return 0.0
    return gaussian.epsilon(math.sqrt(2 * event.rho), delta) if event.gaussian else _of_renyi(event.rho, delta)


def noise_multiplier(
    at_epsilon: float,
    delta: float,
    releases: int = 1,
    rate: float = 1.0,
    adjacency: Adjacency = "add-remove",
    sampling: Sampling = "none",
) -> float:
    """Return the noise, over the clip, of each of some equal releases of clipped vectors that keeps to a budget.

    Raises
    ------
    UserError
        An impossible budget, or amplification that the sampling does not give.
    """
    template = Schedule((Release(1.0, rate, releases),), adjacency, sampling)
    if not template.sampled:
        return gaussian.noise_multiplier(at_epsilon, delta, releases) * SENSITIVITY["vector"][adjacency]
    return calibrated(template, at_epsilon, delta)


def renyi_multiplier(at_epsilon: float, delta: float) -> float:
    """Return the smallest noise multiplier whose cost stays within a budget beside costs that are not Gaussian."""
    return smallest_enough(
        lambda value: value > 0 and epsilon(replace(Cost.of_gaussian(value), gaussian=False), delta) <= at_epsilon, 1e9
    )


@lru_cache(maxsize=256)
def calibrated(template: Schedule, at_epsilon: float, delta: float) -> float:
    """Return the smallest factor, up to 0.1 % from above, by which the noise of a schedule keeps it to a budget.

    Raises
    ------
    UserError
        A budget that is impossible, or that no factor between 1e-3 and 1e6 reaches.
    """
    check_budget(at_epsilon, delta)

    def enough(factor: float) -> bool:
        return _of_schedule(template.scaled_noise(factor), delta, at_epsilon) <= at_epsilon

    high = 1.0
    while not enough(high):
        high *= 2
        if high > 1e6:
            raise UserError(
                f"no noise brings epsilon down to {at_epsilon:g} at delta {delta:g}; raise epsilon or delta"
            )
    low = high / 2
    while low > 1e-3 and enough(low):
        low, high = low / 2, low
    return bisect_ratio(enough, low, high, 1.001)


def _of_renyi(rho: float, delta: float) -> float:
    """Return epsilon of a Renyi divergence of at most ``rho`` times the order."""
    best: float = min(rho * a + math.log1p(-1 / a) - (math.log(delta) + math.log(a)) / (a - 1) for a in ORDERS)
    return max(best, 0.0)


def _as_schedule(cost: Cost) -> Schedule:
    """Return the schedule that a cost with sampled steps describes, all fixed before the first.

    Where steps of both adjacencies meet, all count as replace-one: at the same noise and rate that reveals at least as
    much, as no vector at all is one of the vectors.
    """
    if not cost.gaussian:
        raise UserError("sampled steps cannot be accounted beside discrete or Skellam noise; keep them apart")
    adjacency = max(steps.adjacency for steps in cost.sampled)  # replace-one, if there is any
    plain = (Release((2 * cost.rho) ** -0.5 * SENSITIVITY["vector"][adjacency]),) if cost.rho else ()
    steps = tuple(Release(steps.multiplier, steps.rate, steps.count) for steps in cost.sampled)
    return Schedule((*plain, *steps), adjacency, "poisson")


def _of_schedule(schedule: Schedule, delta: float, enough: float = 0.0) -> float:
    """Return epsilon of a schedule from above, or any bound on it that is not above ``enough``."""
    if not (schedule.sampled or schedule.responds):
        return epsilon(total(part.cost(schedule.adjacency) for part in schedule.releases), delta)
    if not (parts := _parts(schedule)):
        return 0.0
    if delta < SMALLEST_DELTA:
        raise UserError(f"delta {delta:g} is too small to account sampling; use at least {SMALLEST_DELTA:g}")
    return _converged(parts, schedule.adjacency, delta, enough)


def _converged(parts: list[Release | Response], adjacency: Adjacency, delta: float, enough: float) -> float:
    """Return epsilon of some releases from above, on a grid that is fine enough, or whose bound is ``enough``."""
    interval = _interval(parts, adjacency)
    last = _numeric(parts, adjacency, delta, interval)
    for _ in range(HALVINGS):
        if last <= enough:
            break
        interval /= 2
        last, before = min(last, _numeric(parts, adjacency, delta, interval)), last
        if last == before or before - last <= CLOSE * last:
            break
    return last


def _interval(parts: list[Release | Response], adjacency: Adjacency) -> float:
    """Return a first grid step, coarse: near the typical spread of one release's privacy loss.

    The loss of a response takes few values, which a coarse grid would all round up alike, however often it is halved.
    """
    variance = steps = pure = 0.0
    for part in parts:
        if isinstance(part, Response):
            spread, pure = part.pure, max(pure, part.pure)
        else:
            z = part.effective(adjacency)
            spread = min(part.rate * math.sqrt(math.expm1(min(z**-2, 60.0))), 1 / z)
        variance, steps = variance + part.count * spread**2, steps + part.count
    return min(0.8 * math.sqrt(variance / steps), 0.2, 0.02 * pure or 0.2)


def _numeric(parts: list[Release | Response], adjacency: Adjacency, delta: float, interval: float) -> float:
    """Return epsilon of some releases from above, on a grid of privacy losses."""
    truncated = min(1e-15, 1e-4 * delta)
    losses = [_losses(p, adjacency, interval).self_compose(p.count, truncated) for p in parts]
    joint = losses[0]
    for other in losses[1:]:
        joint = joint.compose(other, truncated)
    return float(joint.get_epsilon_for_delta(delta))


def _parts(schedule: Schedule) -> list[Release | Response]:
    """Return the releases that reveal anything, with all unsampled Gaussian ones joined into one."""
    plain = [p for p in schedule.releases if isinstance(p, Release) and p.rate == 1]
    rest = [p for p in schedule.releases if (p.pure > 0 if isinstance(p, Response) else p.rate < 1)]
    if not plain:
        return rest
    joint = total(p.cost(schedule.adjacency) for p in plain)
    one = Release((2 * joint.rho) ** -0.5 * SENSITIVITY["vector"][schedule.adjacency])
    return [one, *rest]


def _losses(part: Release | Response, adjacency: Adjacency, interval: float) -> Any:
    """Return the privacy loss distribution of one release, rounded up to a grid.

    Under replace-one a vector ``g`` stands against another ``h``, both no longer than the clip. A test that says yes
    with probability ``m`` where neither is sampled says so with at most ``Phi(Phi^-1(m) + 1/z)`` where ``g`` is, and
    with at least ``Phi(Phi^-1(m) - 1/z)`` where ``h`` is (Neyman and Pearson). Two full-length vectors in opposite
    directions attain both, for every ``m``. Hence ``(1 - q) N(0, z^2) + q N(-1, z^2)`` and its mirror image dominate
    every other pair, also those in which ``g`` or ``h`` is zero or missing; they are what the library composes.
    """
    from dp_accounting.pld import privacy_loss_distribution as pld  # a second that few need to wait for
    from dp_accounting.privacy_accountant import NeighboringRelation

    if isinstance(part, Response):
        return pld.from_randomized_response(part.randomness, part.values, value_discretization_interval=interval)
    replaced = adjacency == "replace-one"
    relation = NeighboringRelation.REPLACE_ONE if replaced else NeighboringRelation.ADD_OR_REMOVE_ONE
    return pld.from_gaussian_mechanism(
        part.multiplier,
        value_discretization_interval=interval,
        sampling_prob=part.rate,
        neighboring_relation=relation,
    )
