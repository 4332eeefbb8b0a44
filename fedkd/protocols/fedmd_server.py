"""FedMD with a large model on the server, which learns the consensus too."""

from collections.abc import Mapping
from typing import Literal

from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import ModelConfig, Recommender
from fedkd.models.table import AnyModel
from fedkd.protocols.base import State
from fedkd.protocols.fedmd import FedMD
from fedkd.protocols.taught import TEACHER


class FedMDServer(FedMD):
    """FedMD whose consensus also teaches a large model on the server.

    The paper's server only averages. Here a teacher digests every consensus in the same way as the global student does.
    It never leaves the server.

    Attributes
    ----------
    teacher_model : ModelConfig
        The large model.
    """

    name: Literal["fedmd-server"] = "fedmd-server"
    teacher_model: AnyModel = AutoencoderConfig(width=200)

    def server_models(self) -> Mapping[str, ModelConfig]:
        """Return the global student and the teacher."""
        return {**super().server_models(), TEACHER: self.teacher_model}

    def teacher(self, state: State) -> Recommender:
        """Return the teacher."""
        return self.server_model(state, TEACHER)
