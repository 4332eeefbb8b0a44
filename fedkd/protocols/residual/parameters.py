"""The hyper-parameters of residual distillation."""

from typing import Literal

from pydantic import Field

from fedkd.distillation.residual import UserWeights
from fedkd.options import Options


class ResidualParameters(Options):
    """Parameters of residual distillation.

    Attributes
    ----------
    reference_kind : str
        ``items`` (histories of one popular item each) or ``histories`` (those of public users).
    references, panel : int
        How many references, and how many items each is scored for; 0 lets ``upload_budget_bytes`` decide.
    upload_budget_bytes : int
        Bytes of a client's answer without headers, from which the sizes follow; 0 is no limit.
    levels : int
        Largest weight of a user; weights are whole numbers from 1.
    damping, complement : float
        The proximal term of private training, in interactions; weight of public structure that references do not span.
    regularisation : float
        The teacher's ridge, over the mean weight of an interaction.
    block : int
        Under protection: number of popular items whose Gram matrix is asked for; 0 means 15 sqrt(clients).
    """

    reference_kind: Literal["items", "histories"] = "items"
    references: int = Field(default=0, ge=0)
    panel: int = Field(default=0, ge=0)
    upload_budget_bytes: int = Field(default=156_000, ge=0)
    levels: int = Field(default=7, ge=1, le=1000)
    damping: float = Field(default=50.0, gt=0)
    complement: float = Field(default=0.25, ge=0)
    regularisation: float = Field(default=400.0, gt=0)
    block: int = Field(default=0, ge=0, le=4096)

    @property
    def weights(self) -> UserWeights:
        """The public rule of users' weights."""
        return UserWeights(self.levels, self.damping)
