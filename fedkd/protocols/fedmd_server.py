"""FedMD with a large model on the server, which learns the consensus too."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from fedkd.losses.scores import mean_absolute_difference
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import ModelConfig, Recommender
from fedkd.models.table import AnyModel
from fedkd.protocols.base import State
from fedkd.protocols.own_consensus import OwnConsensus
from fedkd.protocols.taught import TEACHER


class FedMDServer(OwnConsensus):
    """FedMD whose consensus also teaches a large model on the server.

    All else is as in FedMD (Li & Wang, NeurIPS workshop 2019), whose server only averages. Here a teacher digests every
    consensus in the same way as the global student does. It never leaves the server.

    Attributes
    ----------
    teacher_model : ModelConfig
        The large model.
    """

    name: Literal["fedmd-server"] = "fedmd-server"
    teacher_model: AnyModel = AutoencoderConfig(width=200)

    def distance(self, scores: Tensor, consensus: Tensor) -> Tensor:
        """Return the mean absolute difference."""
        return mean_absolute_difference(scores, consensus)

    def server_models(self) -> Mapping[str, ModelConfig]:
        """Return the global student and the teacher."""
        return {**super().server_models(), TEACHER: self.teacher_model}

    def teacher(self, state: State) -> Recommender:
        """Return the teacher."""
        return self.server_model(state, TEACHER)
