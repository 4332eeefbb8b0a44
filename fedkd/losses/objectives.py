"""The objectives of the three phases: ``L_pre`` and ``L_opt`` on hard labels, ``L_dist`` on what a teacher gives.

``L_pre`` trains the teacher, ``L_dist`` the student on the teacher's soft labels and features, ``L_opt`` the student on
hard labels; the student minimises the weighted sum of the latter two.
"""

from collections.abc import Iterator

from pydantic import Field
from torch import Tensor

from fedkd.losses.multinomial import multinomial_cross_entropy
from fedkd.options import Options


class LossWeights(Options):
    """Weights of the student's losses: ``soft * KL + feature * features + groups * pairs + hard * cross entropy``.

    Attributes
    ----------
    soft : float
        Weight of the soft labels in ``L_dist``.
    feature : float
        Weight of the features in ``L_dist``; 0 leaves them out.
    groups : float
        Weight of the pairs inside groups of equal popularity in ``L_dist``; 0 leaves them out.
    hard : float
        Weight of ``L_opt`` beside ``L_dist``; 0 leaves it to a phase of its own.
    """

    soft: float = Field(1.0, ge=0)
    feature: float = Field(0.0, ge=0)
    groups: float = Field(0.0, ge=0)
    hard: float = Field(0.0, ge=0)


def scheduled(first: LossWeights, last: LossWeights, steps: int) -> Iterator[LossWeights]:
    """Yield the weights of every step: the first ones, the last ones, and a straight line between."""
    names = [*LossWeights.model_fields]
    for step in range(steps):
        part = step / max(1, steps - 1)
        mixed = {name: (1 - part) * getattr(first, name) + part * getattr(last, name) for name in names}
        yield LossWeights.model_validate(mixed)


def pretraining_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return ``L_pre``, the teacher on hard labels; arguments as in `multinomial_cross_entropy`."""
    return multinomial_cross_entropy(scores, targets)


def distillation_loss(
    soft: Tensor, feature: Tensor | None, weights: LossWeights, groups: Tensor | None = None
) -> Tensor:
    """Return ``L_dist``, the student on the teacher's soft labels and, where there are some, features and pairs."""
    loss = weights.soft * soft if feature is None else weights.soft * soft + weights.feature * feature
    return loss if groups is None else loss + weights.groups * groups


def optimisation_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return ``L_opt``, the student on hard labels; arguments as in `multinomial_cross_entropy`."""
    return multinomial_cross_entropy(scores, targets)


def student_loss(distillation: Tensor, optimisation: Tensor, weights: LossWeights) -> Tensor:
    """Return what the student minimises, ``L_dist + hard * L_opt``; ``L_pre`` concerns the teacher alone."""
    return distillation + weights.hard * optimisation
