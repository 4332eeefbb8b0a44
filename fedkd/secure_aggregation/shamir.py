"""Shamir's secret sharing over a prime field just below 2**256.

A secret is the value at 0 of a random polynomial of degree ``threshold - 1``; the share of holder x = 1, 2, ... is the
value at x. A random secret is dealt by drawing the first ``threshold`` shares uniformly: they fix the polynomial.
Dealer and holder can therefore derive those from a key they have in common, and nothing is sent.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from math import factorial, prod

import numpy as np

PRIME = 2**256 - 189


def deal(drawn: Sequence[int], holders: int) -> tuple[int, list[int]]:
    """Return a random secret and the shares of holders ``len(drawn) + 1`` to ``holders``.

    Parameters
    ----------
    drawn : sequence of int
        The shares of holders 1, 2, ..., uniform in the field; as many as the threshold.
    holders : int
        How many hold a share.
    """
    return _beyond(drawn[::-1], 1)[0], _beyond(drawn, holders - len(drawn))


def _beyond(values: Sequence[int], count: int) -> list[int]:
    """Continue a polynomial of degree ``len(values) - 1`` by ``count`` points."""
    # The points are equally spaced: Newton's backward differences give every next one by additions alone.
    row, differences = list(values), []
    while row:
        differences.append(row[-1])
        row = [after - before for before, after in pairwise(row)]
    return [_advance(differences) % PRIME for _ in range(count)]


def _advance(differences: list[int]) -> int:
    """Move backward differences, the lowest order first, on by one point in place; return the value there."""
    total = 0
    for order in range(len(differences) - 1, -1, -1):
        total = differences[order] = differences[order] + total
    return total


def recover(shares: Mapping[int, int]) -> int:
    """Return the secret from as many shares (holder to value) as the threshold says."""
    return _value(tuple(shares), tuple(shares.values()), 0)


def recover_checked(
    shares: Mapping[int, int], threshold: int, accept: Callable[[int], bool], attempts: int = 8192
) -> tuple[int, list[int]] | None:
    """Find a secret although some shares may be wrong.

    Parameters
    ----------
    shares : mapping of int to int
        Holder to value.
    threshold : int
        Shares that determine the secret.
    accept : callable
        Says whether a secret is the right one.
    attempts : int
        Random choices of ``threshold`` shares that are tried.

    Returns
    -------
    (secret, wrong holders), or None where no choice of shares gives an accepted secret. Holders are looked at only
    where the first choice failed.
    """
    holders = sorted(shares)
    order = np.random.Generator(np.random.PCG64(0))  # any order will do: it decides about speed alone
    for attempt in range(attempts if len(holders) > threshold else len(holders) // threshold):
        some = {x: shares[x] for x in holders[:threshold]}
        secret = recover(some)
        if accept(secret):
            return secret, _wrong(some, shares) if attempt else []
        holders = [int(x) for x in order.permutation(holders)]
    return None


def _wrong(sound: Mapping[int, int], shares: Mapping[int, int]) -> list[int]:
    points, values = tuple(sound), tuple(sound.values())
    return [x for x in shares if x not in sound and _value(points, values, x) != shares[x]]


def _value(points: tuple[int, ...], values: Sequence[int], x: int) -> int:
    return sum(w * v for w, v in zip(_weights(points, x), values, strict=True)) % PRIME


@lru_cache(maxsize=4096)
def _weights(points: tuple[int, ...], x: int) -> tuple[int, ...]:
    """Lagrange's weights: what each of some whole points contributes to the value at another, x."""
    # What a weight is divided by divides this factorial, so that one inverse, which takes long, serves all.
    common = factorial(max(points) - min(points))
    top, inverse = prod(x - point for point in points), pow(common, -1, PRIME)
    bottoms = (prod(point - other for other in points if other != point) for point in points)
    tops = (top // (x - point) * inverse % PRIME for point in points)
    return tuple(above * (common // bottom) % PRIME for above, bottom in zip(tops, bottoms, strict=True))
