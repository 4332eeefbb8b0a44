"""Pretrain the teacher, distil the student, optimise it on hard labels; the same on a server and in a script."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from fedkd.distillation.features import Projection
from fedkd.losses.functions import (
    LossWeights,
    distillation_loss,
    feature_cross_entropy,
    feature_mse,
    optimisation_loss,
    pretraining_loss,
    soft_label_loss,
    student_loss,
)
from fedkd.models.base import Recommender, multi_hot, padded_histories, score
from fedkd.options import Options
from fedkd.ragged import Ragged, offsets
from fedkd.training.central import Rows, TrainingOptions, Watch, train


class DistilOptions(Options):
    """What a student takes from its teacher.

    Attributes
    ----------
    temperature : float
        Temperature of the soft labels.
    teacher_scale : float
        The teacher's scores times this are its logits. EASE's scores lie between 0 and 1 and want 20 to 30; a teacher
        trained by cross entropy speaks in logits already.
    unseen_only : bool
        Compare the items outside the history alone: those inside are never recommended, and cost capacity.
    weights : LossWeights
        How the losses add up.
    feature_loss : str
        ``cross-entropy`` of normalised features, or ``mse``.
    layer : int, optional
        Layer whose features are compared, in convolutional models; the last before the scores without it.
    training : TrainingOptions
        Length and speed. ``visible`` applies to the sub-sampled views that `give_lessons` adds, which the teacher
        scores as they are; without views it does nothing.
    """

    temperature: float = Field(1.0, gt=0)
    teacher_scale: float = Field(1.0, gt=0)
    unseen_only: bool = True
    weights: LossWeights = LossWeights()
    feature_loss: Literal["cross-entropy", "mse"] = "cross-entropy"
    layer: int | None = None
    training: TrainingOptions = TrainingOptions()


class PipelineOptions(Options):
    """The three phases; a phase of no steps is skipped.

    Attributes
    ----------
    pretrain : TrainingOptions
        The teacher on hard labels.
    distil : DistilOptions
        The student on the teacher's soft labels and features.
    optimise : TrainingOptions
        The student on hard labels, from where distillation left it.
    views : int
        Sub-sampled copies of every history in distillation, beside the history itself.
    """

    pretrain: TrainingOptions = TrainingOptions(visible=0.5)
    distil: DistilOptions = DistilOptions()
    optimise: TrainingOptions = TrainingOptions(steps=0, learning_rate=0.001, visible=0.5)
    views: int = Field(0, ge=0)


@dataclass(frozen=True)
class Lessons:
    """Histories, and what a teacher says of them; pooled answers of clients are lessons too.

    Attributes
    ----------
    histories : Ragged of int32
        What the student is shown.
    scores : ndarray of float32, shape [histories, items]
        The teacher's logits.
    targets : Ragged of int32
        Hard labels: the items that the user is known to have chosen.
    features : ndarray of float32, shape [histories, 1, features], optional
        The teacher's features of the chosen layer.
    """

    histories: Ragged
    scores: NDArray[np.float32]
    targets: Ragged
    features: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.histories)


def sub_sampled(histories: Ragged, visible: float, rng: np.random.Generator) -> Ragged:
    """Return histories of which every item is kept with probability ``visible``."""
    if visible >= 1:
        return histories
    return histories.where(rng.random(len(histories.values)) < visible)


def give_lessons(
    teacher: Recommender, histories: Ragged, options: DistilOptions, views: int, rng: np.random.Generator
) -> Lessons:
    """Let a teacher score histories and ``views`` sub-sampled copies of each; memory rows x items x 4 bytes."""
    copies = [histories] + [sub_sampled(histories, options.training.visible, rng) for _ in range(views)]
    shown = _joined(copies)
    scores = score(teacher, shown) * np.float32(options.teacher_scale)
    features = _features(teacher, shown, options.layer) if options.weights.feature else None
    return Lessons(shown, scores, _joined([histories] * len(copies)), features)


def pretrain(
    model: Recommender,
    histories: Ragged,
    options: TrainingOptions,
    rng: np.random.Generator,
    watch: Watch | None = None,
) -> float | None:
    """Train a model in place on hard labels (``L_pre``): see a part of a history, score the whole of it.

    Returns the best quality where ``watch`` evaluates.
    """
    return _on_hard_labels(model, histories, options, rng, watch or Watch(), "pretrain")


def optimise(
    model: Recommender,
    histories: Ragged,
    options: TrainingOptions,
    rng: np.random.Generator,
    watch: Watch | None = None,
) -> float | None:
    """Train a student in place on hard labels (``L_opt``), usually after distillation; see `pretrain`."""
    return _on_hard_labels(model, histories, options, rng, watch or Watch(), "optimise")


def distil(
    student: Recommender, lessons: Lessons, options: DistilOptions, rng: np.random.Generator, watch: Watch | None = None
) -> float | None:
    """Train a student in place on a teacher's lessons, ``L_dist + hard * L_opt``.

    Returns the best quality where ``watch`` evaluates.
    """
    projection = _projection(student, lessons, options, rng)

    def loss_of(rows: Rows) -> Tensor:
        return _lesson_loss(student, lessons, rows, options, projection)

    return train(student, loss_of, len(lessons), options.training, rng, watch or Watch(), "distil", projection)


def run_pipeline(
    teacher: Recommender,
    student: Recommender,
    histories: Ragged,
    options: PipelineOptions,
    rng: np.random.Generator,
    watch: Watch | None = None,
) -> None:
    """Pretrain ``teacher``, distil it into ``student``, optimise ``student``; both in place.

    A teacher in closed form comes with ``options.pretrain.steps`` at 0.
    """
    pretrain(teacher, histories, options.pretrain, rng, watch)
    lessons = give_lessons(teacher, histories, options.distil, options.views, rng)
    distil(student, lessons, options.distil, rng, watch)
    optimise(student, histories, options.optimise, rng, watch)


def _on_hard_labels(
    model: Recommender,
    histories: Ragged,
    options: TrainingOptions,
    rng: np.random.Generator,
    watch: Watch,
    phase: Literal["pretrain", "optimise"],
) -> float | None:
    loss = pretraining_loss if phase == "pretrain" else optimisation_loss

    def loss_of(rows: Rows) -> Tensor:
        whole = histories.take(rows)
        shown = padded_histories(sub_sampled(whole, options.visible, rng), model.num_items)
        return loss(model(shown), multi_hot(padded_histories(whole, model.num_items), model.num_items))

    return train(model, loss_of, len(histories), options, rng, watch, phase)


def _lesson_loss(
    student: Recommender, lessons: Lessons, rows: Rows, options: DistilOptions, projection: nn.Module | None
) -> Tensor:
    """Return the student's loss on some rows of its lessons."""
    shown = padded_histories(lessons.histories.take(rows), student.num_items)
    scores = student(shown)
    counted = multi_hot(shown, student.num_items) == 0 if options.unseen_only else None
    soft = soft_label_loss(scores, torch.from_numpy(lessons.scores[rows]), options.temperature, counted)
    feature = None
    if projection is not None and lessons.features is not None:
        compare = feature_cross_entropy if options.feature_loss == "cross-entropy" else feature_mse
        ours = projection(student.features(shown, options.layer))
        feature = compare(ours, torch.from_numpy(lessons.features[rows]))
    loss = distillation_loss(soft, feature, options.weights)
    if options.weights.hard == 0:
        return loss
    targets = multi_hot(padded_histories(lessons.targets.take(rows), student.num_items), student.num_items)
    return student_loss(loss, optimisation_loss(scores, targets), options.weights)


def _projection(
    student: Recommender, lessons: Lessons, options: DistilOptions, rng: np.random.Generator
) -> Projection | None:
    """Return a projection to the teacher's features, where the lessons have some."""
    if lessons.features is None or len(lessons) == 0:
        return None
    first = padded_histories(lessons.histories.take(np.zeros(1, np.int64)), student.num_items)
    width = student.features(first, options.layer).shape[-1]
    return Projection(width, lessons.features.shape[-1], int(rng.integers(2**62)))


@torch.no_grad()
def _features(model: Recommender, histories: Ragged, layer: int | None, batch_size: int = 512) -> NDArray[np.float32]:
    """Return a model's features of all histories, shape [rows, 1, features]."""
    model.eval()
    parts = [
        model.features(padded_histories(histories.take(rows), model.num_items), layer).numpy()
        for rows in np.array_split(np.arange(len(histories)), max(1, len(histories) // batch_size))
    ]
    return np.concatenate(parts)


def _joined(parts: list[Ragged]) -> Ragged:
    """Return all rows of several ragged arrays, one after the other."""
    values = np.concatenate([part.values for part in parts])
    lengths = np.concatenate([part.lengths for part in parts])
    return Ragged(values, offsets(lengths))
