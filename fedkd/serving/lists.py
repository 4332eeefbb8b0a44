"""From a request to lists: ids become positions, filters a mask, positions items again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedkd.deployment.deployed import Deployed, Listed
from fedkd.registry import unknown as unknown_name
from fedkd.serving.answers import RefusedError
from fedkd.serving.options import Limits
from fedkd.serving.requests import RecommendRequest

INLINE = 200_000
"""Scores that take about a millisecond; a request for more is computed beside the others."""


@dataclass(frozen=True)
class Task:
    """A request in terms of the model.

    Attributes
    ----------
    deployed : Deployed
        The model that answers.
    histories : list of list of int
        Item positions.
    k : int
        Length of a list.
    allowed : ndarray of bool, shape [items], optional
        The items that may be recommended.
    ignored : list of list of str
        Ids that no item has, for every history.
    """

    deployed: Deployed
    histories: list[list[int]]
    k: int
    allowed: NDArray[np.bool_] | None
    ignored: list[list[str]]

    @property
    def small(self) -> bool:
        """Whether it is computed faster than another thread begins."""
        return len(self.histories) * len(self.deployed.catalogue) <= INLINE

    def lists(self) -> list[Listed]:
        """Return the lists."""
        return self.deployed.lists(self.histories, self.k, self.allowed)


def task(request: RecommendRequest, deployed: Deployed, limits: Limits) -> Task:
    """Return a request in terms of the model, or refuse it."""
    within(len(request.histories), limits.histories, "histories")
    within(request.k, limits.k, "k")
    for each in (*request.histories, request.allow or (), request.deny, request.categories or ()):
        within(len(each), limits.length, "a history or list of ids")
    known = deployed.titles.position
    strange = [[item for item in history if item not in known] for history in request.histories]
    others = [item for item in (*(request.allow or ()), *request.deny) if item not in known]
    if request.unknown == "refuse" and (others or any(strange)):
        refuse_unknown([item for row in (*strange, others) for item in row])
    histories = [[known[item] for item in history if item in known] for history in request.histories]
    return Task(deployed, histories, request.k, _allowed(request, deployed), strange)


def refuse_unknown(ids: Sequence[str]) -> None:
    """Refuse ids that no item has."""
    raise RefusedError(
        422,
        f"the catalogue does not know {len(ids)} of the ids; /items?q= finds items by title, and "
        '"unknown": "ignore" leaves unknown ids out and names them',
        ids,
    )


def within(number: int, most: int, what: str) -> None:
    """Refuse more than is allowed."""
    if number > most:
        raise RefusedError(
            422, f"{what} must be at most {most}, got {number}" if number < 10**9 else f"{what} is too many"
        )


def _allowed(request: RecommendRequest, deployed: Deployed) -> NDArray[np.bool_] | None:
    """Return the items that a request's filters leave; None where it has no filter."""
    if request.allow is None and not request.deny and request.categories is None:
        return None
    position = deployed.titles.position
    mask = np.full(len(deployed.catalogue), request.allow is None)
    mask[_known(request.allow or (), position)] = True
    mask[_known(request.deny, position)] = False
    return mask if request.categories is None else mask & _of(request.categories, deployed)


def _of(categories: Sequence[str], deployed: Deployed) -> NDArray[np.bool_]:
    """Return which items are of one of some categories, shape [items]."""
    names = deployed.catalogue.categories
    for name in categories:
        if name not in names:
            raise RefusedError(422, str(unknown_name("category", name[:40], names)))
    chosen = [names.index(name) for name in categories]
    if not chosen:
        return np.zeros(len(deployed.catalogue), bool)
    return np.asarray(deployed.catalogue.membership[:, chosen].any(axis=1))


def _known(ids: Iterable[str], position: dict[str, int]) -> list[int]:
    return [position[item] for item in ids if item in position]
