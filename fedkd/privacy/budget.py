"""The budget of everything released about one owner's data; nothing heavy is imported before it is needed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedkd.errors import UserError
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.calibration import check_budget
from fedkd.privacy.events import Adjacency, Cost, total
from fedkd.privacy.renyi_filter import allows, least_epsilon

ROUNDING = 1e-9
"""Relative excess of epsilon over a budget that is allowed: far above the rounding of sums, far below any release."""


@dataclass(frozen=True)
class Budget:
    """The total that everything released about one owner's data may cost, for one adjacency.

    Costs under different adjacencies, or counted in two ways, do not add up. So the first release about someone's data
    fixes adjacency and counting for good, and a budget of another kind allows no release.

    Attributes
    ----------
    epsilon, delta : float
        The total; epsilon is above 0 and finite, delta above 0 and below 1.
    adjacency : str
        ``add-remove`` or ``replace-one``.
    adaptive : bool
        Whether releases of all kinds may follow each other in any order, counted by a Renyi filter, which allows a
        little less. Without it all are of the same kind as the first: Gaussian noise of any strength, counted exactly;
        noise of other kinds, counted as concentrated; or steps on samples of one noise and rate, counted by their
        privacy loss.
    """

    epsilon: float
    delta: float
    adjacency: Adjacency = "add-remove"
    adaptive: bool = False

    def __post_init__(self) -> None:
        check_budget(self.epsilon, self.delta)

    def allows(self, costs: Sequence[Cost]) -> bool:
        """Return whether costs, at least one, in the order in which they were paid, stay within the budget."""
        spent, most = total(costs), self.epsilon * (1 + ROUNDING)
        if self.adaptive:
            return allows(spent, most, self.delta)
        return _of_one_kind(costs[0], spent) and epsilon(spent, self.delta) <= most

    def check_room(self, cost: Cost, key: str) -> None:
        """Refuse an adaptive budget that has no room for all the releases of one run.

        Raises
        ------
        UserError
            There is no room; the message says which key to set to which value.
        """
        if (needed := least_epsilon(cost, self.delta)) > self.epsilon:
            raise UserError(
                f"an adaptive budget of epsilon {self.epsilon:g} at delta {self.delta:g} has no room for this run: a "
                f"Renyi filter counts it as {needed:.4g}; set {key}={math.ceil(100 * needed) / 100:g} or more"
            )


def _of_one_kind(first: Cost, spent: Cost) -> bool:
    """Return whether all costs are of the same kind as the first of them.

    The number of steps on samples may be decided later: a schedule that ends early reveals no more than the whole.
    """
    if spent.sampled:
        return len(spent.sampled) == 1 and not spent.rho
    return spent.gaussian or not first.gaussian
