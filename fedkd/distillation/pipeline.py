"""The three phases: pretrain a teacher, distil it into a student, optimise the student on hard labels."""

import numpy as np
from torch import Tensor

from fedkd.distillation.objective import example_losses, observed
from fedkd.distillation.options import DistillationOptions
from fedkd.distillation.targets import Targets
from fedkd.losses.objectives import optimisation_loss, pretraining_loss
from fedkd.models.base import Recommender, padded_histories
from fedkd.models.device import beside
from fedkd.models.item_table import forget_own_rows
from fedkd.ragged import Ragged
from fedkd.training.central import Rows, Watch, train
from fedkd.training.hard_labels import HardLabelLoss, hard_label_loss, sub_sampled, untouched
from fedkd.training.options import StepTraining


def pretrain(
    model: Recommender, histories: Ragged, training: StepTraining, rng: np.random.Generator, watch: Watch | None = None
) -> float | None:
    """Train a model in place on hard labels (``L_pre``): see a part of a history, score the whole of it.

    Where a model looks at content, that alone speaks in the end for items that no history holds.

    Returns the best quality where ``watch`` evaluates.
    """
    best = _on_hard_labels(model, histories, training, rng, watch, pretraining_loss, "pretrain")
    forget_own_rows(model, untouched(histories, model.num_items))
    return best


def optimise(
    model: Recommender, histories: Ragged, training: StepTraining, rng: np.random.Generator, watch: Watch | None = None
) -> float | None:
    """Train a student in place on hard labels (``L_opt``), usually after distillation; see `pretrain`.

    What distillation taught about items that no history holds is kept.
    """
    return _on_hard_labels(model, histories, training, rng, watch, optimisation_loss, "optimise")


def distil(
    student: Recommender,
    targets: Targets,
    options: DistillationOptions,
    rng: np.random.Generator,
    watch: Watch | None = None,
    labelled: Ragged | None = None,
) -> float | None:
    """Train a student in place on a teacher's targets, ``L_dist + hard * L_opt``.

    Hard labels are those of the targets. With ``labelled`` histories they are those of random ones of these instead, of
    which ``options.training.visible`` is shown.

    Returns the best quality where ``watch`` evaluates.
    """
    width = targets.width
    speaking = observed(student, options, width, 0 if width is None else int(rng.integers(2**62)))
    schedule, groups = options.schedule(), targets.groups(options, student.num_items)

    def loss_of(rows: Rows) -> Tensor:
        batch = targets.batch(rows, student.num_items) | targets.pairs(rows, groups, options.pairs, rng)
        batch |= {} if labelled is None else _labels(labelled, len(rows), student.num_items, options.training, rng)
        batch = {name: beside(student, column) for name, column in batch.items()}
        return example_losses(speaking, batch, options, next(schedule)).mean()

    return train(student, loss_of, len(targets), options.training, rng, watch, "distil", speaking.adapter)


def _labels(
    histories: Ragged, count: int, items: int, training: StepTraining, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Return a part of some random histories, and their hard labels."""
    whole = histories.take(rng.integers(len(histories), size=count))
    seen = sub_sampled(whole, training.visible, rng)
    return {"labelled": padded_histories(seen, items), "whole": padded_histories(whole, items)}


def _on_hard_labels(
    model: Recommender,
    histories: Ragged,
    training: StepTraining,
    rng: np.random.Generator,
    watch: Watch | None,
    loss: HardLabelLoss,
    phase: str,
) -> float | None:
    def loss_of(rows: Rows) -> Tensor:
        return hard_label_loss(model, histories.take(rows), training, rng, loss)

    return train(model, loss_of, len(histories), training, rng, watch, phase)
