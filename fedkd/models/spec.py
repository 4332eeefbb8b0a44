"""What a configuration says of a trainable model, and how it is built."""

from typing import Literal

import torch
from pydantic import Field, PositiveInt

from fedkd.models.autoencoder import Autoencoder
from fedkd.models.base import Recommender
from fedkd.models.cnn import CausalCNN
from fedkd.models.linear import LowRank
from fedkd.options import Options


class ModelSpec(Options):
    """Shape of a trainable recommender, teacher or student.

    Attributes
    ----------
    family : str
        ``linear`` (low rank), ``autoencoder`` (one tanh layer) or ``cnn`` (causal convolutions).
    width : int
        Rank of ``linear``, hidden units of ``autoencoder``, width of an item's embedding in ``cnn``.
    channels : tuple of int
        Channels of the two convolutions of ``cnn``: 32 and 64 in the usual teacher, 16 and 32 in the usual student.
    length : int
        The most recent items of a history that ``cnn`` looks at.
    dropout : float
        Share of a history's items hidden in training; in ``cnn`` also of the features.
    """

    family: Literal["linear", "autoencoder", "cnn"] = "linear"
    width: int = Field(32, ge=1)
    channels: tuple[PositiveInt, PositiveInt] = (16, 32)
    length: int = Field(100, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)

    def build(self, num_items: int, seed: int) -> Recommender:
        """Return an untrained model; equal seeds give equal numbers, torch's own generator stays untouched."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if self.family == "linear":
                return LowRank(num_items, self.width, self.dropout)
            if self.family == "autoencoder":
                return Autoencoder(num_items, self.width, self.dropout)
            return CausalCNN(num_items, self.width, self.channels, self.length, self.dropout)
