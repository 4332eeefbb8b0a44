"""The intermediate features that a teacher shows and a student imitates."""

import torch
from torch import Tensor, nn

from fedkd.errors import UserError
from fedkd.models.base import Recommender
from fedkd.models.cnn import CausalCNN


def layer_features(model: Recommender, history: Tensor, layer: int | None = None) -> Tensor:
    """Return the features of a chosen layer.

    Parameters
    ----------
    model : Recommender
        Teacher or student.
    history : Tensor of int64, shape [batch, length]
        Histories, padded on the left.
    layer : int, optional
        Layer of a convolutional model (0 the embedding, 1 and 2 the convolutions), averaged over the history; without
        it what ``model.hidden`` returns.

    Returns
    -------
    Tensor, shape [batch, 1, features]

    Raises
    ------
    UserError
        If the model has no such layer.
    """
    if layer is None:
        return model.hidden(history).unsqueeze(-2)
    if not isinstance(model, CausalCNN) or not 0 <= layer <= len(model.convolutions):
        raise UserError(
            f"{type(model).__name__} has no layer {layer} to distil; a cnn has 0, 1 and 2, other models leave it out"
        )
    maps, real = model.feature_maps(history, layer)
    return (maps.sum(-1) / real.sum(-1).clamp(min=1.0)).unsqueeze(-2)


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
