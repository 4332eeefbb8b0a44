"""The three phases: pretrain a teacher, distil it into a student, optimise the student on hard labels."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from fedkd.distillation.features import Projection
from fedkd.distillation.options import DistillationOptions
from fedkd.distillation.targets import DistillationTargets
from fedkd.losses.features import feature_loss
from fedkd.losses.objectives import distillation_loss, optimisation_loss, pretraining_loss, student_loss
from fedkd.losses.soft_labels import soft_label_divergence
from fedkd.models.base import Recommender, multi_hot, padded_histories
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
    projection = _projection(student, targets, options, rng)

    def loss_of(rows: Rows) -> Tensor:
        return _student_loss(student, targets, rows, options, projection)

    return train(student, loss_of, len(targets), options.training, rng, watch, "distil", projection)


def _hard_label_loss(
    model: Recommender, histories: Ragged, visible: float, rng: np.random.Generator, loss: HardLabelLoss
) -> Callable[[Rows], Tensor]:
    return lambda rows: history_losses(model, histories.take(rows), visible, rng, loss).mean()


def _student_loss(
    student: Recommender,
    targets: DistillationTargets,
    rows: Rows,
    options: DistillationOptions,
    projection: nn.Module | None,
) -> Tensor:
    """Return the student's loss on some rows of its targets."""
    shown = padded_histories(targets.histories.take(rows), student.num_items)
    scores = student(shown)
    counted = multi_hot(shown, student.num_items) == 0 if options.unseen_only else None
    soft = soft_label_divergence(scores, torch.from_numpy(targets.scores[rows]), options.temperature, counted).mean()
    feature = None
    if projection is not None and targets.features is not None:
        ours = projection(student.features(shown, options.layer))
        feature = feature_loss(options.feature_loss)(ours, torch.from_numpy(targets.features[rows])).mean()
    loss = distillation_loss(soft, feature, options.weights)
    if options.weights.hard == 0:
        return loss
    labels = multi_hot(padded_histories(targets.labels.take(rows), student.num_items), student.num_items)
    return student_loss(loss, optimisation_loss(scores, labels).mean(), options.weights)


def _projection(
    student: Recommender, targets: DistillationTargets, options: DistillationOptions, rng: np.random.Generator
) -> Projection | None:
    """Return a projection to the teacher's features, where the targets have some."""
    if targets.features is None or len(targets) == 0:
        return None
    first = padded_histories(targets.histories.take(np.zeros(1, np.int64)), student.num_items)
    width = student.features(first, options.layer).shape[-1]
    return Projection(width, targets.features.shape[-1], int(rng.integers(2**62)))
