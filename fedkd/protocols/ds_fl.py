"""DS-FL: soft labels of public histories, sharpened where they are averaged."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import softmax
from torch import Tensor

from fedkd.losses.multinomial import multinomial_cross_entropy
from fedkd.protocols.own_consensus import OwnConsensus


class DSFL(OwnConsensus):
    """DS-FL (Itahara et al., Distillation-based semi-supervised federated learning, IEEE Trans. Mobile Comput. 2021).

    This is their algorithm 1 with entropy reduction aggregation. Clients label a fresh subset of the public histories
    with the probabilities ``p_k = softmax(s_k)`` of their students. The server sharpens the mean,
    ``softmax((1/K sum_k p_k) / T)``, and broadcasts it. Clients and the global student learn it by cross entropy. A
    round here begins with the labels of the previous round.

    Where answers are probabilities of one item of many, they are small, and the paper's ``T`` of 0.1 for ten classes
    would make the labels of a catalogue uniform. ``T`` must be of the size of the largest probabilities.

    Attributes
    ----------
    temperature : float
        ``T``: the smaller, the sharper.
    """

    name: Literal["ds-fl"] = "ds-fl"
    temperature: float = Field(0.01, gt=0)

    def soft_labels(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities of the panel's items."""
        return np.asarray(softmax(scores, axis=-1), np.float32)

    def consensus(self, mean: NDArray[Any]) -> NDArray[np.float32]:
        """Return the sharpened mean."""
        return np.asarray(softmax(mean / self.temperature, axis=-1), np.float32)

    def distance(self, scores: Tensor, consensus: Tensor) -> Tensor:
        """Return the cross entropy."""
        return multinomial_cross_entropy(scores, consensus)
