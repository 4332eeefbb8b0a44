"""Mechanisms for votes, where a voter gives every query one choice among some, or none.

*Randomised response* (Warner, JASA 1965; Kairouz, Bonawitz & Ramage, Discrete distribution estimation under local
privacy, ICML 2016): every voter replaces each of its choices, with a public probability, by an even draw over all
choices, "none" among them. Each answer is private by itself, and the sum is unbiased after a public linear map.

*Report-noisy-max* (Dwork & Roth, The algorithmic foundations of differential privacy, 2014, section 3.3): a server that
is trusted with the sum adds Gumbel noise to it and publishes only the position of the maximum. That is the
exponential mechanism (McSherry & Talwar, FOCS 2007). One voter more moves every count by 0 or 1, all in one direction,
so at scale ``1 / epsilon`` the privacy loss of a choice has a range of ``epsilon``; one voter in the place of another
moves one count up and one down, and takes twice the scale. A mechanism of bounded range ``epsilon`` has a Renyi
divergence of order ``a`` of at most ``a epsilon^2 / 8`` (Cesar & Rogers, Bounding, concentrating, and truncating:
unifying privacy loss composition for data analytics, ALT 2021, lemma 3.4).
"""

import math

import numpy as np
from numpy.typing import NDArray

from fedkd.errors import UserError
from fedkd.privacy.events import Adjacency, Cost
from fedkd.privacy.schedule import Response

SENSITIVITY: dict[Adjacency, float] = {"add-remove": 1.0, "replace-one": 2.0}
"""Sensitivity to one voter of the difference of two counts of one query."""


def choices(votes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the item that every query's vote is for, or the number of items for none.

    Any input counts as one vote a query at most: for the first item whose entry is positive.

    Parameters
    ----------
    votes : ndarray, shape [..., queries, items]
        Rows of zeros with at most one 1.

    Returns
    -------
    ndarray of int64, shape [..., queries]
    """
    given = np.asarray(votes) > 0
    return np.asarray(np.where(given.any(axis=-1), given.argmax(axis=-1), given.shape[-1]), np.int64)


def response(epsilon: float, items: int) -> Response:
    """Return the randomised response over some items and "none" that reveals ``epsilon`` a query, at delta 0."""
    if not 0 < epsilon < 700:
        raise UserError(f"epsilon of one response is {epsilon}; it must be positive and below 700, for example 1")
    return Response((items + 1) / (items + math.exp(epsilon)), items + 1)


def respond(votes: NDArray[np.integer], mechanism: Response, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return votes of which each query's choice was replaced, with the mechanism's probability, by an even draw.

    Parameters
    ----------
    votes : ndarray, shape [..., queries, items]
        One vote a query at most.
    mechanism : Response
        Over one value more than there are items.
    generator : Generator
        Secret randomness.

    Returns
    -------
    ndarray of int64, shape [..., queries, items]
        Zeros and ones.
    """
    items = votes.shape[-1]
    if mechanism.values != items + 1:
        raise ValueError(f"votes over {items} items or none take {items + 1} values, not {mechanism.values}")
    chosen = choices(votes)
    replaced = generator.random(chosen.shape) < mechanism.randomness
    drawn = np.where(replaced, generator.integers(items + 1, size=chosen.shape), chosen)
    return np.asarray(drawn[..., None] == np.arange(items), np.int64)


def unbiased(counts: NDArray[np.integer], voters: int, mechanism: Response) -> NDArray[np.float64]:
    """Return the unbiased estimate of the votes from the summed responses of so many voters.

    Parameters
    ----------
    counts : ndarray, shape [queries, items]
        The sum of all responses.
    voters : int
        How many responded.
    mechanism : Response
        The mechanism of every response; one that keeps nothing says nothing.
    """
    if mechanism.randomness == 1:
        return np.zeros(np.shape(counts))
    expected = voters * mechanism.randomness / mechanism.values
    return np.asarray((counts - expected) / (1 - mechanism.randomness), np.float64)


def noisy_max(
    counts: NDArray[np.integer], epsilon: float, adjacency: Adjacency, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return for every query the item of the largest count under Gumbel noise, as votes of a single voter.

    Parameters
    ----------
    counts : ndarray, shape [queries, items]
        Sums of votes, without noise; "none" is counted nowhere.
    epsilon : float
        Of one query: the range of its privacy loss.
    adjacency : str
        ``add-remove`` or ``replace-one``.
    generator : Generator
        Secret randomness.

    Returns
    -------
    ndarray of int64, shape [queries, items]
        One 1 in every row.
    """
    if not (epsilon > 0 and math.isfinite(epsilon)):
        raise UserError(f"epsilon of one query is {epsilon}; it must be positive and finite, for example 1")
    noised = counts + generator.gumbel(0.0, SENSITIVITY[adjacency] / epsilon, np.shape(counts))
    return np.asarray(noised.argmax(axis=-1)[..., None] == np.arange(np.shape(counts)[-1]), np.int64)


def max_cost(epsilon: float, queries: int) -> Cost:
    """Return the cost of publishing the noisy maximum of so many queries, each with a privacy loss of range epsilon."""
    return Cost(queries * epsilon * epsilon / 8, gaussian=False)
