"""The projection by which a student imitates a teacher's features of another width."""

import torch
from torch import Tensor, nn


class Projection(nn.Module):
    """Map the student's features to the teacher's width; trained with the student, thrown away after.

    Parameters
    ----------
    student, teacher : int
        Widths of the two layers.
    seed : int
        Seed of the first weights.
    """

    def __init__(self, student: int, teacher: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(student, teacher, generator=generator) * student**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of shape [..., teacher] for features of shape [..., student]."""
        return features @ self.weight
