"""DS-FL: soft labels of public histories, sharpened where they are averaged."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import softmax
from torch import Tensor

from fedkd.losses.multinomial import multinomial_cross_entropy
from fedkd.protocols.own_consensus import OwnConsensus

SMALLEST = 1e-9
"""Least probability; a mean of noised answers may be below it."""


class DSFL(OwnConsensus):
    """DS-FL (Itahara et al., Distillation-based semi-supervised federated learning, IEEE Trans. Mobile Comput. 2021).

    This is their algorithm 1 with another entropy reduction. Clients label a fresh subset of the public histories with
    the probabilities ``p_k = softmax(s_k)`` of their students. The server sharpens the mean ``p = 1/K sum_k p_k`` to
    ``p^(1/T) / sum p^(1/T)`` and broadcasts it. Clients and the global student learn it by cross entropy. A round here
    begins with the labels of the previous round.

    The paper's ``softmax(p / T)`` is for ten classes. Probabilities of a catalogue's items are so small that it gives
    nearly the same label to all but a few items, whatever ``T`` is. Powers are the enhanced entropy reduction of
    SCARLET (IEEE Trans. Mobile Comput. 2026), whose exponent is ``1/T``.

    Attributes
    ----------
    temperature : float
        ``T``: the smaller, the sharper. 1 leaves the mean as it is; less was worse on a catalogue, as sharpened labels
        are sharpened again in the next round.
    """

    name: Literal["ds-fl"] = "ds-fl"
    temperature: float = Field(1.0, gt=0)

    def soft_labels(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities of the panel's items."""
        return np.asarray(softmax(scores, axis=-1), np.float32)

    def consensus(self, mean: NDArray[Any]) -> NDArray[np.float32]:
        """Return the sharpened mean."""
        logits = np.log(np.maximum(mean, SMALLEST)) / self.temperature
        return np.asarray(softmax(logits, axis=-1), np.float32)

    def distance(self, scores: Tensor, consensus: Tensor) -> Tensor:
        """Return the cross entropy."""
        return multinomial_cross_entropy(scores, consensus)
