"""Next-item statistics under noise: bounded answers on a list of targets, and the estimate from their noised sum.

A user's numbers of targets (``K`` of `fedkd.distillation.next_item`) on a public list are divided by their norm, so an
answer has a norm of exactly 1 and nothing is clipped away. Inputs (``G``) are those of the public users, so the whole
budget is spent on what follows what. The server's prior of the sum is what the public users' answers would be. Every
number moves from it towards the sum by ``v / (v + noise^2)``, the weight that a prior of variance ``v`` gives the sum
(Efron & Morris, Stein's estimation rule and its competitors, JASA 1973). The move, over the mean weight of a step in an
answer, is added to the public users' own statistic, in which long histories count fully. With much noise this leaves
the public users' teacher.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.distillation.pair_lists import Chosen, Statistic, contributions, known_pairs
from fedkd.distillation.pair_models import PairSums
from fedkd.messages.types import SparseUpdate
from fedkd.ragged import Ragged

Floats = NDArray[np.float64]

PRIOR_VARIANCE = 1.0
"""Variance of the private users' sum around the prior, over the public users' own."""


def bounded(histories: Ragged, owner: NDArray[np.int64], statistic: Statistic, asked: Chosen) -> SparseUpdate:
    """Return every client's numbers over their norm, the mean where a client has several users.

    Parameters
    ----------
    histories : Ragged of int32
        One row of item positions a user, oldest first, each item once.
    owner : ndarray of int64, shape [users]
        Position of the client that each user belongs to.
    statistic : Statistic
        The rule.
    asked : Chosen
        The list.
    """
    rows, _ = unit_rows(histories, statistic, asked)
    entries = sparse.coo_array(rows)
    share = np.bincount(owner)[owner] if len(owner) else np.ones(0)
    where = entries.col.astype(np.int64)
    return SparseUpdate(where, entries.data / share[entries.row], owner[entries.row], asked.count)


def unit_rows(histories: Ragged, statistic: Statistic, asked: Chosen) -> tuple[sparse.csr_array, Floats]:
    """Return users' numbers on a list over their norm, shape [users, numbers], and the factors, shape [users].

    A user who has none of the numbers has the factor 0.
    """
    found = contributions(histories, statistic, asked)
    values = found.value * asked.units(statistic.units())[found.position]
    shape = (len(histories), asked.count)
    rows = sparse.csr_array(sparse.coo_array((values, (found.owner, found.position)), shape=shape))
    norms = np.sqrt(np.asarray(rows.power(2).sum(axis=1)).ravel())
    factors = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return sparse.csr_array(sparse.diags_array(factors) @ rows), factors


def protected_sums(
    pooled: Floats, histories: Ragged, statistic: Statistic, asked: Chosen, ratio: float, noise: float
) -> PairSums:
    """Return the server's estimate of everyone's statistic.

    Parameters
    ----------
    pooled : ndarray, shape [numbers]
        The noised sum of all answers, times users per client.
    histories : Ragged of int32
        The public users', at least one.
    statistic : Statistic
        The rule.
    asked : Chosen
        The list.
    ratio : float
        Private users per public user.
    noise : float
        Standard deviation of the noise on every number of the sum; infinite where there is no sum yet.
    """
    rows, factors = unit_rows(histories, statistic, asked)
    known, steps = known_pairs(histories, statistic, asked.layout.num_items), histories.lengths
    weight = float((factors * steps).sum() / max(1, steps.sum())) or 1.0
    gain = _trust(rows, asked, ratio, noise) * (pooled - ratio * np.asarray(rows.sum(axis=0)).ravel())
    changed = asked.matrix(gain / weight, np.ones_like(statistic.units()))
    return PairSums(asked.layout, sparse.csr_array((1 + ratio) * known + changed))


def _trust(rows: sparse.csr_array, asked: Chosen, ratio: float, noise: float) -> Floats:
    """Return the weight of the sum in every number: 0 keeps the prior, 1 takes the sum.

    The variance of a prior is that of a sum over few users, half as it is, half as if what is chosen next did not
    depend on what was before, because what no public user did is not impossible.
    """
    if not np.isfinite(noise):
        return np.zeros(asked.count)
    squares = np.asarray(rows.power(2).sum(axis=0)).ravel()
    before, after = asked.columns.row_index, asked.columns.values
    given, wanted = np.bincount(before, squares)[before], np.bincount(after, squares)[after]
    independent = given * wanted / max(squares.sum(), np.finfo(float).tiny)
    variance = PRIOR_VARIANCE * ratio**2 * (squares + independent) / 2
    return np.asarray(variance / (variance + noise**2))
