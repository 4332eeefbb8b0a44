"""FedDF: the server's model learns what all clients' models together say of public histories."""

from typing import Any, Literal

from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from fedkd.losses.softmax import soft_label_divergence
from fedkd.messages.types import Asks
from fedkd.models.arrays import export_arrays
from fedkd.models.base import Recommender
from fedkd.protocols.base import State
from fedkd.protocols.consensus import COMMON, Consensus
from fedkd.protocols.server_optimiser import named
from fedkd.training.chunks import Parameters
from fedkd.training.cohort import Cohort
from fedkd.training.engine import replicate
from fedkd.training.options import LocalTraining


class FedDF(Consensus):
    """FedDF (Lin et al., Ensemble distillation for robust model fusion in federated learning, NeurIPS 2020).

    This is their algorithm 1 with answers in place of models. Clients start from the server's student and train it on
    their own histories. The server's student then minimises ``KL(softmax(1/K sum_k f_k(x)) || softmax(f_s(x)))`` on
    public histories ``x``, where ``f_k(x)`` are the logits of client ``k``'s model.

    In the paper clients upload their models and the server computes the logits, so it sees every client's model; it
    starts from the mean of their parameters, and distils until a validation set is satisfied. Here clients compute the
    logits, so that the server needs their sum alone and masks hide each; it starts from its previous student, and
    distils for a fixed number of passes. There is one shape of students, not one group for each.
    """

    name: Literal["feddf"] = "feddf"
    digest_epochs: int = Field(20, ge=1)
    local: LocalTraining = LocalTraining(epochs=20, learning_rate=0.003)

    def sent(self, state: State) -> dict[str, NDArray[Any]]:
        """Send the student."""
        return named(COMMON, export_arrays(self.global_student(state)))

    def begun(self, cohort: Cohort, asks: Asks) -> tuple[Recommender, Parameters]:
        """Start from the server's student."""
        student = self.common(asks, cohort.data.train.catalogue)
        return student, replicate(student, len(cohort))

    def distance(self, scores: Tensor, consensus: Tensor) -> Tensor:
        """Return the divergence of the softmax of both."""
        return soft_label_divergence(scores, consensus, temperature=1.0)
