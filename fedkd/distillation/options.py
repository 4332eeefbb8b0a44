"""Settings of the distillation of a student from a teacher."""

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from fedkd.losses.features import feature_loss
from fedkd.losses.objectives import LossWeights, scheduled
from fedkd.losses.soft_labels import soft_label_loss
from fedkd.options import Options, Searched
from fedkd.training.options import StepTraining

PRETRAINING = StepTraining(steps=600, learning_rate=0.005, batch_size=256, visible=0.5)
"""The training of a teacher on hard labels, before distillation."""


class DistillationOptions(Options):
    """Settings of the distillation phase.

    Attributes
    ----------
    temperature : float
        Temperature of the soft labels.
    teacher_scale : float
        The teacher's scores times this are its logits. EASE's scores lie between 0 and 1 and want 20 to 30; a teacher
        trained by cross entropy gives logits already.
    unseen_only : bool
        Compare the items outside the history alone: those inside are never recommended, and cost capacity.
    soft_label_loss : str
        ``kl`` of the whole catalogue, ``top-k`` with a bucket for the rest, the ranking losses ``rrd`` and ``dcd``, or
        a function of one's own as ``package.module:function``.
    top : int
        Length of the teacher's list, for soft-label losses that have one.
    weights : LossWeights
        Weights of the losses in their sum.
    last_weights : LossWeights, optional
        Weights of the last step, to which they move in a straight line from those of the first; without them they stay.
    feature_loss : str
        ``cross-entropy`` of normalised features, ``mse``, ``attention`` to positions, relations of examples by
        ``distances`` or ``angles``, or a function of one's own as ``package.module:function``.
    layer : int, optional
        Layer whose features are compared, in models with several; the last before the scores without it.
    positions : bool
        Compare the layer's features of every position of a history, not their mean.
    groups : int
        Groups of equally popular items, where their pairs have a weight; items are popular by the hard labels.
    pairs : int
        Pairs that are drawn in every group for every history in every step.
    training : StepTraining
        Length and speed. ``visible`` applies to the sub-sampled views that `teacher_targets` adds, which the teacher
        scores as they are; without views it does nothing.
    """

    temperature: float = Field(1.0, gt=0)
    teacher_scale: float = Field(1.0, gt=0)
    unseen_only: bool = True
    soft_label_loss: str = "kl"
    top: int = Field(100, ge=1)
    weights: LossWeights = LossWeights()
    last_weights: LossWeights | None = None
    feature_loss: str = "cross-entropy"
    layer: int | None = None
    positions: Annotated[bool, Searched(needs="layer")] = False
    groups: int = Field(4, ge=1)
    pairs: int = Field(30, ge=1)
    training: StepTraining = StepTraining()

    @field_validator("feature_loss")
    @classmethod
    def _known_feature_loss(cls, name: str) -> str:
        feature_loss(name)
        return name

    @field_validator("soft_label_loss")
    @classmethod
    def _known_soft_label_loss(cls, name: str) -> str:
        soft_label_loss(name)
        return name

    @model_validator(mode="after")
    def _positions_of_a_layer(self) -> Self:
        if self.positions and self.layer is None:
            raise ValueError("positions are those of a layer, and no layer is chosen; set layer, or positions = false")
        return self

    @property
    def compares_features(self) -> bool:
        """Whether the features have a weight at any time."""
        return any(weights.feature > 0 for weights in (self.weights, self.last_weights) if weights is not None)

    @property
    def compares_pairs(self) -> bool:
        """Whether the pairs inside groups have a weight at any time."""
        return any(weights.groups > 0 for weights in (self.weights, self.last_weights) if weights is not None)

    def schedule(self) -> Iterator[LossWeights]:
        """Yield the weights of every step of the training."""
        return scheduled(self.weights, self.last_weights or self.weights, self.training.steps)
