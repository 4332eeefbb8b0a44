"""FedMD: heterogeneous federated learning by consensus on public data, for histories instead of images."""

from typing import Literal

from torch import Tensor

from fedkd.losses.scores import mean_absolute_difference
from fedkd.protocols.own_consensus import OwnConsensus


class FedMD(OwnConsensus):
    """FedMD (Li & Wang, FedMD: heterogeneous federated learning via model distillation, NeurIPS workshop 2019).

    This is their algorithm 1.

    Transfer learning: every client trains its student on public histories first, then on its own. In every round the
    clients score a fresh subset of the public histories, and the consensus is the mean of these scores (logits, not
    probabilities). Every client *digests* it, with the mean absolute difference to its own scores as loss, and
    *revisits* its own data. A round here begins with the consensus of the previous round. Clients keep their students,
    of different shapes as in the paper, and recommend with them; the server distils a global student from the same
    consensus, in the same way.
    """

    name: Literal["fedmd"] = "fedmd"

    def distance(self, scores: Tensor, consensus: Tensor) -> Tensor:
        """Return the mean absolute difference."""
        return mean_absolute_difference(scores, consensus)
