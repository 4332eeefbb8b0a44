"""Noise planned for sampled steps, and the check of a plan, in the processor's seconds."""

import time
from collections.abc import Callable

from fedkd.cli.terminal import guarded
from fedkd.privacy.accounting import epsilon, noise_multiplier
from fedkd.privacy.events import Adjacency
from fedkd.privacy.schedule import Release, Schedule

EPSILON, DELTA = 3.0, 1e-5
STEPS: tuple[tuple[Adjacency, int, float], ...] = (
    ("add-remove", 500, 0.02),
    ("add-remove", 100, 0.2),
    ("replace-one", 500, 0.02),
    ("replace-one", 100, 0.2),
)
"""Adjacency, number and sampling rate of the steps of every plan."""


@guarded
def main() -> None:
    """Plan noise for steps on Poisson samples, and account for it once, and again."""
    noise_multiplier(EPSILON, DELTA, 2, 0.5, sampling="poisson")  # loads the accountant
    for adjacency, count, rate in STEPS:
        planned, each = _timed(noise_multiplier, EPSILON, DELTA, count, rate, adjacency, "poisson")
        steps = Schedule((Release(each, rate, count),), adjacency, "poisson")
        checked, again = (_timed(epsilon, steps, DELTA)[0] for _ in range(2))
        seconds = f"planned in {planned:.2f} s, checked in {checked:.3f} s, and again in {1000 * again:.3f} ms"
        print(f"{adjacency:<12}{count:>4} steps, rate {rate:<5}{seconds}", flush=True)


def _timed(work: Callable[..., float], *given: object) -> tuple[float, float]:
    """Return the processor's seconds of a function, and what it returns."""
    begun = time.process_time()
    found = work(*given)
    return time.process_time() - begun, found
