"""Lists with known propensities, and users' behaviour: position-biased clicks and own finds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedkd.feedback.world import Floats, Ints, Marks


@dataclass(frozen=True)
class Shown:
    """Lists that were shown.

    Attributes
    ----------
    user : ndarray of int64, shape [lists]
        Whose list it is.
    items : ndarray of int64, shape [lists, places]
        The items, the first place first.
    propensity : ndarray of float64, shape [lists, places]
        The probability with which the item was at its place.
    """

    user: Ints
    items: Ints
    propensity: Floats


def examination(places: int, bias: float) -> Floats:
    """Return the probability that a place is looked at, shape [places]: ``k ** -bias`` (the position-based model)."""
    return np.asarray(np.arange(1, places + 1) ** -float(bias))


def propensities(policy: Ints, items: Ints, unseen: Ints, exploration: float) -> Floats:
    """Return the probability of items at their places, where a policy's list is shown with exploration.

    Parameters
    ----------
    policy, items : ndarray of int64, shape [lists, places]
        The policy's list, and the items that are asked about.
    unseen : ndarray of int64, shape [lists]
        Among how many items exploration draws.
    exploration : float
        Probability that a place explores.
    """
    return np.asarray((1 - exploration) * (policy == items) + (exploration / unseen)[:, None])


def show(policy: Ints, user: Ints, open_to: Marks, exploration: float, rng: np.random.Generator) -> Shown:
    """Show a policy's lists; each place shows with a small probability any item that is open to its user.

    An explored item may be at another place of the list, too: places are independent, which keeps propensities exact.

    Parameters
    ----------
    policy : ndarray of int64, shape [lists, places]
        What the policy recommends.
    user : ndarray of int64, shape [lists]
        To whom.
    open_to : ndarray of bool, shape [lists, items]
        Which items a user can be shown.
    exploration : float
        Probability that a place explores.
    rng : Generator
        The chance of exploration.
    """
    count = open_to.sum(1)
    order = np.argsort(~open_to, axis=1, kind="stable")  # the open items first
    drawn = order[np.arange(len(policy))[:, None], (rng.random(policy.shape) * count[:, None]).astype(np.int64)]
    items = np.where(rng.random(policy.shape) < exploration, drawn, policy)
    return Shown(user, items, propensities(policy, items, count, exploration))


def clicks(shown: Shown, attraction: Floats, bias: float, rng: np.random.Generator) -> Marks:
    """Return what is clicked, shape [lists, places]: an item that is looked at is taken with its attraction."""
    looked = rng.random(shown.items.shape) < examination(shown.items.shape[1], bias)
    return np.asarray(looked & (rng.random(shown.items.shape) < attraction[shown.user[:, None], shown.items]))


def own_finds(
    attraction: Floats, meetings: Ints, open_to: Marks, mean: float, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Return users and items of what users take without a list: of what they meet, what they like.

    Parameters
    ----------
    attraction : ndarray, shape [users, items]
        True utility.
    meetings : ndarray of int64, shape [users, meetings]
        The items that a user meets.
    open_to : ndarray of bool, shape [users, items]
        What a user does not have yet.
    mean : float
        Mean number of items that a user takes at most; each item met is taken with its attraction.
    rng : Generator
        The chance.
    """
    wanted = rng.poisson(mean, len(attraction))
    user, item = np.repeat(np.arange(len(attraction)), meetings.shape[1]), meetings.ravel()
    taken = open_to[user, item] & (rng.random(len(user)) < attraction[user, item])
    user, item = user[taken], item[taken]
    _, first = np.unique(user * attraction.shape[1] + item, return_index=True)
    first.sort()
    user, item = user[first], item[first]
    rank = np.arange(len(user)) - np.searchsorted(user, user)
    kept = rank < wanted[user]
    return user[kept], item[kept]


def value(policy: Ints, user: Ints, attraction: Floats, bias: float) -> Floats:
    """Return the expected number of clicks of every list without exploration, shape [lists]: its true utility."""
    return np.asarray(attraction[user[:, None], policy] @ examination(policy.shape[1], bias))


def best(attraction: NDArray[np.float64], open_to: Marks, places: int) -> Ints:
    """Return the lists of greatest value, shape [users, places]."""
    masked = np.where(open_to, attraction, -1.0)
    top = np.argpartition(-masked, places - 1, axis=1)[:, :places]
    order = np.argsort(-np.take_along_axis(masked, top, axis=1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(top, order, axis=1))
