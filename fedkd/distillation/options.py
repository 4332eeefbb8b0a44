"""Settings of the distillation of a student from a teacher."""

from pydantic import Field, field_validator

from fedkd.losses.features import feature_loss
from fedkd.losses.objectives import LossWeights
from fedkd.options import Options
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
    weights : LossWeights
        Weights of the losses in their sum.
    feature_loss : str
        ``cross-entropy`` of normalised features, ``mse``, or a function of one's own as ``package.module:function``.
    layer : int, optional
        Layer whose features are compared, in convolutional models; the last before the scores without it.
    training : StepTraining
        Length and speed. ``visible`` applies to the sub-sampled views that `teacher_targets` adds, which the teacher
        scores as they are; without views it does nothing.
    """

    temperature: float = Field(1.0, gt=0)
    teacher_scale: float = Field(1.0, gt=0)
    unseen_only: bool = True
    weights: LossWeights = LossWeights()
    feature_loss: str = "cross-entropy"
    layer: int | None = None
    training: StepTraining = StepTraining()

    @field_validator("feature_loss")
    @classmethod
    def _known(cls, name: str) -> str:
        feature_loss(name)
        return name
