"""Residual distillation of linear students: a client's answer, and the Gram matrix that the sum of answers gives.

A linear student ``S(x) = x B`` that starts at zero and is trained to convergence on one user's history ``x`` of ``n``
items, with the proximal term ``mu/2 |B|^2``, becomes ``x^T x / (n + mu)``. On references ``R`` its scores for a panel
``P`` of items changed by ``(R x^T) x_P / (n + mu)``: an outer product whose sum over users is ``R G_P``, with the
weighted Gram matrix ``G = sum_u w_u x_u^T x_u`` that EASE is made of. Weights are whole numbers, so the answers and
their sum are exact integers, and a contribution can be withdrawn without a trace.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from fedkd.data.interactions import Interactions
from fedkd.distillation.closed_forms import Gram
from fedkd.errors import UserError
from fedkd.messages.types import Kind, LowRankUpdate, Quantiser, Reference, Spec
from fedkd.ragged import Ragged

COLUMNS_PER_REFERENCE = 6
"""Shape of the answered block: at equal bytes, five to seven columns a reference were best on MovieLens."""

EIGENVALUE_FLOOR = 1e-6
"""Directions weaker than this share of the strongest are left out of a completion."""


@dataclass(frozen=True)
class UserWeights:
    """The weight ``mu / (n + mu)`` of a user with ``n`` interactions, rounded to a whole number of levels.

    Attributes
    ----------
    levels : int
        The largest weight; a user of any length has at least weight 1.
    damping : float
        ``mu``, the proximal term of local training: users much longer than this count less per interaction.
    """

    levels: int = 7
    damping: float = 50.0

    def of(self, lengths: NDArray[Any]) -> NDArray[np.int64]:
        """Return the weight of users by the lengths of their histories, whole numbers from 1 to ``levels``."""
        exact = self.levels * self.damping / (lengths + self.damping)
        return np.clip(np.rint(exact), 1, self.levels).astype(np.int64)


def item_reference(popular: NDArray[np.int32], references: int, panel: int) -> Reference:
    """Return histories of one popular item each, and the most popular items as the subset that is scored.

    Parameters
    ----------
    popular : ndarray of int32, shape [items]
        All items, the most popular first.
    references, panel : int
        Numbers of both; references are the panel's first items, so not more than the panel.
    """
    if not 1 <= references <= panel <= len(popular):
        raise UserError(
            f"{references} references and a panel of {panel} of {len(popular)} items; set algorithm.references to at "
            f"most the panel, and algorithm.panel to at most {len(popular)}; 0 leaves either to the upload budget"
        )
    return Reference(Ragged(popular[:references], np.arange(references + 1, dtype=np.int64)), popular[:panel])


def history_reference(public: Interactions, popular: NDArray[np.int32], references: int, panel: int) -> Reference:
    """Return the histories of the first public users, as far as they are on a panel of the most popular items.

    Raises
    ------
    UserError
        There are fewer public users than references.
    """
    if not 1 <= references <= public.num_users:
        raise UserError(
            f"{references} reference histories were asked of {public.num_users} public users; "
            f"lower algorithm.references to at most {public.num_users}, raise partition.public-fraction, or set "
            "algorithm.reference-kind to items"
        )
    shown = public.histories.take(np.arange(references))
    return Reference(shown.where(np.isin(shown.values, popular[:panel])), popular[:panel])


def sizes_for_budget(num_items: int, num_users: int, levels: int, budget: int) -> tuple[int, int]:
    """Return the numbers of references and of panel items that fit a byte budget: six columns a reference.

    Without a limit both are the whole catalogue.

    Parameters
    ----------
    num_items, num_users : int
        Size of the catalogue, and the number of private users in all.
    levels : int
        Largest weight of a user.
    budget : int
        Bytes that one client may send; 0 is no limit.

    Returns
    -------
    tuple of int
        References and panel.
    """
    if not budget:
        return num_items, num_items
    bits = (levels * num_users).bit_length()
    coordinates = 8 * budget // bits
    if coordinates < 1:
        raise UserError(
            f"a budget of {budget} bytes does not hold one number of {bits} bits; raise "
            f"algorithm.upload-budget-bytes to at least {-(-bits // 8)}"
        )
    panel = min(num_items, max(1, int((COLUMNS_PER_REFERENCE * coordinates) ** 0.5)))
    return min(panel, max(1, coordinates // panel)), panel


def answer_spec(reference: Reference, weights: UserWeights, num_users: int) -> Spec:
    """Return the shape and quantiser of a client's answer; sums over ``num_users`` users never wrap around."""
    limit = weights.levels * int(reference.histories.lengths.max())
    grid = Quantiser(1.0, -limit, limit, (limit * num_users).bit_length(), signed=False)
    return Spec(Kind.SCORES, (len(reference.histories), len(reference.panel)), quantiser=grid)


def answer(
    histories: Ragged, owner: NDArray[np.int64], reference: Reference, weights: UserWeights, num_items: int
) -> LowRankUpdate:
    """Return what private training changed in the zero student's scores: ``level (R x) x_P``, an outer product a user.

    Parameters
    ----------
    histories : Ragged of int32
        One row of item positions a user, each item once.
    owner : ndarray of int64, shape [users]
        Position of the client that each user belongs to.
    reference : Reference
        Histories and items to score.
    weights : UserWeights
        The public rule of weights.
    num_items : int
        Size of the catalogue.
    """
    matrix = histories.matrix(num_items, np.int64)
    overlap = matrix @ reference.histories.matrix(num_items, np.int64).T
    levels = sparse.diags_array(weights.of(histories.lengths), dtype=np.int64)
    return LowRankUpdate(sparse.csr_array(levels @ overlap), matrix[:, reference.panel], owner)


def pooled_gram(
    pooled: NDArray[Any],
    reference: Reference,
    public: Interactions,
    weights: UserWeights,
    num_users: int,
    complement: float = 0.25,
) -> Gram:
    """Return the server's estimate of everyone's Gram matrix, from the sum of the answers and the public users.

    The answers are completed by Nystroem's method, ``Y^T (R Y^T)^+ Y``. The part of the public users' matrix beyond the
    span of the references counts for the private users too, ``complement`` times for each.

    Parameters
    ----------
    pooled : ndarray, shape [references, panel]
        The sum of all answers, ``Y``.
    reference : Reference
        The scored histories and items; its histories hold items of the panel only.
    public : Interactions
        The public users, possibly none.
    weights : UserWeights
        The rule of weights, applied to public users too.
    num_users : int
        Number of private users who have answered.
    complement : float
        Weight of public structure that the references do not span.

    Returns
    -------
    Gram
        Its factor has at most ``references + public users`` rows.
    """
    probes = reference.histories.matrix(public.num_items, np.int64)
    private = np.zeros((0, public.num_items))
    if num_users:
        private = nystroem(pooled, probes[:, reference.panel], reference.panel, public.num_items)
    share = complement * num_users / max(public.num_users, 1)
    return Gram(np.vstack([private, _public_factor(public, probes, weights, share)]))


def ridge(strength: float, public: Interactions, weights: UserWeights) -> float:
    """Return EASE's ridge for weighted users: ``strength`` times the mean weight of an interaction.

    Without public users to learn that mean from, it is the weight of a user of ``damping`` interactions.
    """
    lengths = public.histories.lengths
    if not lengths.sum():
        return strength * weights.levels / 2
    return float(strength * (weights.of(lengths) @ lengths) / lengths.sum())


def nystroem(
    pooled: NDArray[Any], probes: sparse.csr_array, panel: NDArray[np.int32], num_items: int
) -> NDArray[np.float64]:
    """Return ``Z`` with ``Z^T Z = Y^T (R Y^T)^+ Y``, zero outside the panel, shape [rank, items]."""
    answers = np.asarray(pooled, np.float64)
    core = probes @ answers.T
    values, vectors = np.linalg.eigh((core + core.T) / 2)
    kept = values > EIGENVALUE_FLOOR * max(values[-1], 0.0)
    factor = np.zeros((int(kept.sum()), num_items))
    factor[:, panel] = (vectors[:, kept] / np.sqrt(values[kept])).T @ answers
    return factor


def _public_factor(
    public: Interactions, probes: sparse.csr_array, weights: UserWeights, share: float
) -> NDArray[np.float64]:
    """Return ``F`` with ``F^T F = Gpub + share (Gpub - what the references span of it)``, shape [users, items]."""
    roots = sparse.diags_array(np.sqrt(weights.of(public.histories.lengths)))
    rows = sparse.csr_array(roots @ public.matrix(np.float64))
    basis, triangle, _ = linalg.qr((rows @ probes.T).toarray(), mode="economic", pivoting=True)
    sizes = np.abs(np.diag(triangle))
    basis = basis[:, sizes > EIGENVALUE_FLOOR * sizes.max(initial=0.0)]
    gain = np.sqrt(1.0 + share)
    mixing = gain * np.eye(public.num_users) - (gain - 1.0) * (basis @ basis.T)
    return np.asarray((rows.T @ mixing).T)
