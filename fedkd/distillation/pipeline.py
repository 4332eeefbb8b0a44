"""The three phases: pretrain a teacher, distil it into a student, optimise the student on hard labels."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from fedkd.distillation.objective import example_losses, observed
from fedkd.distillation.options import DistillationOptions
from fedkd.distillation.targets import DistillationTargets
from fedkd.losses.objectives import optimisation_loss, pretraining_loss
from fedkd.models.base import Recommender
from fedkd.ragged import Ragged
from fedkd.training.central import Rows, Watch, train
from fedkd.training.hard_labels import HardLabelLoss, history_losses
from fedkd.training.options import StepTraining


def pretrain(
    model: Recommender, histories: Ragged, training: StepTraining, rng: np.random.Generator, watch: Watch | None = None
) -> float | None:
    """Train a model in place on hard labels (``L_pre``): see a part of a history, score the whole of it.

    Returns the best quality where ``watch`` evaluates.
    """
    loss_of = _hard_label_loss(model, histories, training.visible, rng, pretraining_loss)
    return train(model, loss_of, len(histories), training, rng, watch, "pretrain")


def optimise(
    model: Recommender, histories: Ragged, training: StepTraining, rng: np.random.Generator, watch: Watch | None = None
) -> float | None:
    """Train a student in place on hard labels (``L_opt``), usually after distillation; see `pretrain`."""
    loss_of = _hard_label_loss(model, histories, training.visible, rng, optimisation_loss)
    return train(model, loss_of, len(histories), training, rng, watch, "optimise")


def distil(
    student: Recommender,
    targets: DistillationTargets,
    options: DistillationOptions,
    rng: np.random.Generator,
    watch: Watch | None = None,
) -> float | None:
    """Train a student in place on a teacher's targets, ``L_dist + hard * L_opt``.

    Returns the best quality where ``watch`` evaluates.
    """
    width = None if targets.features is None or len(targets) == 0 else targets.features.shape[-1]
    speaking = observed(student, options, width, 0 if width is None else int(rng.integers(2**62)))
    schedule = options.schedule()

    def loss_of(rows: Rows) -> Tensor:
        batch = targets.batch(rows, student.num_items)
        return example_losses(speaking, batch, options, next(schedule)).mean()

    return train(student, loss_of, len(targets), options.training, rng, watch, "distil", speaking.adapter)


def _hard_label_loss(
    model: Recommender, histories: Ragged, visible: float, rng: np.random.Generator, loss: HardLabelLoss
) -> Callable[[Rows], Tensor]:
    return lambda rows: history_losses(model, histories.take(rows), visible, rng, loss).mean()
