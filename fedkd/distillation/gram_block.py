"""Residual distillation under noise: a small symmetric block of the Gram matrix, and the estimate from its sum.

A client answers with ``x^T x / |x|^2`` for its history ``x`` among the items that are most popular with the public: its
student's residual on references of one item each, over a norm of exactly 1, so nothing is clipped away. The sum of the
answers carries independent Gaussian noise. The server's prior is what the public users show, and it shrinks the sum
towards this prior: entry by entry, in the basis of the items and in that of the sum's own
eigenvectors (noise on a symmetric matrix looks the same in every orthonormal basis), with the weight
``v / (v + noise^2)`` that a prior of variance ``v`` gives the sum (Efron & Morris, Stein's estimation rule and its
competitors, JASA 1973). With much noise this leaves the public teacher, with none the sum. Where a release of its own
tells how popular items are (``fedkd.distillation.item_popularity``), the prior is scaled to that first.

The content of items joins the users (``fedkd.distillation.content_prior``).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from fedkd.data.interactions import Interactions
from fedkd.distillation.closed_forms import Gram, LinearTeacher, denoising_teacher
from fedkd.distillation.content_prior import content_rows
from fedkd.messages.types import Kind, LowRankUpdate, Spec
from fedkd.ragged import Ragged

Floats = NDArray[np.float64]

PRIOR_VARIANCE = 3.0
"""Variance of the private users' sum around the prior, over the public users' own; chosen on validation."""

RIDGE_MULTIPLIER = 3.0
"""The teacher's ridge under noise over that without; chosen on validation."""

DROPOUT = 0.5
"""Share of the items that the teacher learns to do without under noise; chosen on validation."""

CONTENT = 0.15
"""Weight of each kind of content over that of all users together; chosen on validation."""


def block_spec(panel: NDArray[np.int32]) -> Spec:
    """Return the shape and clip of a client's answer: a square of the panel's items, of norm at most 1."""
    return Spec(Kind.STATISTICS, (len(panel), len(panel)), clip=1.0)


def block_answer(
    histories: Ragged, owner: NDArray[np.int64], panel: NDArray[np.int32], num_items: int
) -> LowRankUpdate:
    """Return ``x^T x / |x|^2`` on the panel for every client, the mean where a client has several users.

    Parameters
    ----------
    histories : Ragged of int32
        One row of item positions a user.
    owner : ndarray of int64, shape [users]
        Position of the client that each user belongs to.
    panel : ndarray of int32, shape [panel]
        The items.
    num_items : int
        Size of the catalogue.
    """
    rows = _panel_rows(histories, panel, num_items)
    lengths = np.asarray(rows.sum(axis=1)).ravel()
    share = np.bincount(owner)[owner] if len(owner) else np.ones(0)
    weights = sparse.diags_array(np.divide(1.0, lengths * share, out=np.zeros(len(lengths)), where=lengths > 0))
    return LowRankUpdate(sparse.csr_array(weights @ rows), rows, owner)


def protected_gram(
    pooled: NDArray[Any],
    panel: NDArray[np.int32],
    public: Interactions,
    num_users: int,
    noise: float,
    popularity: Floats | None = None,
) -> Gram:
    """Return the server's estimate of everyone's Gram matrix, users weighted by the inverse of their interactions.

    Parameters
    ----------
    pooled : ndarray, shape [panel, panel]
        The noised sum of all answers.
    panel : ndarray of int32, shape [panel]
        The items of the block.
    public : Interactions
        The public users, at least one.
    num_users : int
        Number of private users, a public constant.
    noise : float
        Standard deviation of the noise on every coordinate of the sum.
    popularity : ndarray, shape [items], optional
        Popularity of items with everyone, from a release of its own; the prior is matched to it.

    Returns
    -------
    Gram
        With rows for the content of the items. Its factor has at most ``panel + public users + content`` rows.
    """
    ratio = num_users / public.num_users
    directions = unit_rows(public).toarray()
    match = np.ones(public.num_items) if popularity is None else _matched(directions, popularity, ratio)
    rows, units = directions * match, _unit_rows(public, panel) * match[panel]
    expected = units.T @ units
    known = rows[:, panel].T @ rows[:, panel]
    scale = np.trace(known) / max(np.trace(expected), np.finfo(float).tiny)
    gain = scale * posterior(pooled, units, ratio, noise) - ratio * known
    content = content_rows(public, CONTENT * (num_users + public.num_users))
    return _joined(np.vstack([np.sqrt(1 + ratio) * rows, content]), panel, gain)


def protected_teacher(gram: Gram, ridge: float) -> LinearTeacher:
    """Return the teacher of an estimate, which learns to do without some items; the ridge is in its units."""
    return denoising_teacher(gram, ridge, DROPOUT)


def _matched(directions: Floats, popularity: Floats, ratio: float) -> Floats:
    """Return the factor of every item by which public users have it as often as everyone does, shape [items]."""
    known = (1 + ratio) * directions.sum(axis=0)
    share = np.divide(np.maximum(popularity, 0.0), known, out=np.ones_like(known), where=known > 0)
    return np.asarray(np.sqrt(share))


def posterior(pooled: NDArray[Any], units: Floats, ratio: float, noise: float) -> Floats:
    """Return the private users' block, estimated from its noised sum and from the public users.

    Parameters
    ----------
    pooled : ndarray, shape [panel, panel]
        The sum, noise of standard deviation ``noise`` on every coordinate.
    units : ndarray, shape [public users, panel]
        The public users' histories on the panel, each of norm 1 or 0.
    ratio : float
        Private users per public user.
    noise : float
        Not negative; infinite where there is no sum yet.
    """
    seen = (np.asarray(pooled, np.float64) + np.asarray(pooled, np.float64).T) / 2
    prior = ratio * units.T @ units
    surprise = seen - prior
    bases = (np.eye(len(seen)), np.linalg.eigh(seen)[1])
    moves = [
        basis @ (_shrinkage_weight(units @ basis, ratio, noise) * (basis.T @ surprise @ basis)) @ basis.T
        for basis in bases
    ]
    return prior + sum(moves) / len(moves)


def _shrinkage_weight(units: Floats, ratio: float, noise: float) -> Floats:
    """Return the weight of the sum in every entry: 0 keeps the prior, 1 takes the sum.

    The variance of an entry's prior is that of a sum over few users, half as they are, half as if items were
    independent, because pairs of items that no public user has are not impossible, and neither are items.
    """
    squares = units**2
    pairs = squares.T @ squares
    single = pairs.sum(axis=1)
    single += single.mean() / 2
    independent = np.outer(single, single) / max(single.sum(), np.finfo(float).tiny)
    variance = PRIOR_VARIANCE * ratio**2 * (pairs + independent) / 2
    disturbance = noise**2 * (1 + np.eye(len(pairs))) / 2
    return np.asarray(np.divide(variance, variance + disturbance, out=np.ones_like(variance), where=disturbance > 0))


def _joined(rows: Floats, panel: NDArray[np.int32], gain: Floats) -> Gram:
    """Return ``rows^T rows`` with ``gain`` added on the panel, its negative part removed.

    Everything happens in the span of the rows and the panel's items, so no array of items x items is made.
    """
    own = np.zeros((len(panel), rows.shape[1]))
    own[np.arange(len(panel)), panel] = 1.0
    basis, _ = linalg.qr(np.vstack([own, rows]).T, mode="economic")
    inner = rows @ basis
    values, vectors = np.linalg.eigh(inner.T @ inner + basis[panel].T @ gain @ basis[panel])
    kept = values > 1e-9 * max(values[-1], 0.0)
    return Gram(np.sqrt(values[kept])[:, None] * (basis @ vectors[:, kept]).T)


def _unit_rows(public: Interactions, panel: NDArray[np.int32]) -> Floats:
    rows = _panel_rows(public.histories, panel, public.num_items).toarray().astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0))


def unit_rows(users: Interactions) -> sparse.csr_array:
    """Return every user's history over its norm, shape [users, items]; an empty one stays empty."""
    lengths = np.maximum(users.histories.lengths, 1)
    return sparse.csr_array(sparse.diags_array(lengths**-0.5) @ users.matrix(np.float64))


def _panel_rows(histories: Ragged, panel: NDArray[np.int32], num_items: int) -> sparse.csr_array:
    return sparse.csr_array(histories.matrix(num_items, np.int64)[:, panel])
