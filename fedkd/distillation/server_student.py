"""A student of any family that the server distils from its teacher, from public data and the teacher alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fedkd.distillation.held_out import FEWEST, held_out
from fedkd.distillation.options import DistillationOptions
from fedkd.distillation.part_targets import PartTargets
from fedkd.distillation.pipeline import distil, optimise
from fedkd.distillation.sampled_histories import (
    popular_beginnings,
    public_beginnings,
    sampled_histories,
    sampling_scale,
)
from fedkd.losses.soft_labels import soft_label_loss
from fedkd.models.base import Recommender
from fedkd.models.standardised import Standardised
from fedkd.models.wide_deep import WideDeep
from fedkd.ragged import Ragged
from fedkd.training.central import Watch
from fedkd.training.hard_labels import nonempty
from fedkd.training.options import HardLabels, StepTraining, Training

BEGINNING = 7
"""Most items of a public history with which a sampled one begins."""

LOOK = 50
"""Steps between two looks at the users held out."""

Look = Callable[[Recommender, float], None]

_look: ContextVar[Look | None] = ContextVar("look", default=None)


def observer() -> Look | None:
    """Return who wants to see the run's student at every look at the users held out."""
    return _look.get()


@contextmanager
def looked_at_by(look: Look) -> Iterator[None]:
    """Let a function see the student that a run distils inside, and its quality; an error of its own ends the run."""
    before = _look.set(look)
    try:
        yield
    finally:
        _look.reset(before)


class ServerDistillation(Training):
    """Distillation of a student that is no closed form, from public histories and histories sampled from the teacher.

    Attributes
    ----------
    samples : int
        Histories that are sampled; with public ones they are what the student sees.
    public_share : float
        Share of the public histories among those that the student sees; each is repeated as often as comes nearest to
        it, and is there once at least.
    parts : int
        Parts of a history that are compared in a step; ``batch_size`` counts histories.
    steps : int
        Steps of Adam, whose ``learning_rate`` falls to zero in a straight line.
    teacher_scale : float
        The teacher's scores are standardised history by history, and made logits by the temperature that suits public
        users' hard labels, times this.
    soft_label_loss : str
        ``kl`` of the whole catalogue, ``top-k`` with a bucket for the rest, the ranking losses ``rrd`` and ``dcd``, or
        a function of one's own as ``package.module:function``.
    top : int
        Length of the teacher's list, for soft-label losses that have one.
    public_steps : int
        Steps on the public users' hard labels in the end.
    patience : int
        Looks at a fifth of the public users, held out of the distillation, after which it stops where none of them
        found the student better; one look every 50 steps, and the best student is kept. 0 takes all steps and holds
        nobody out, as fewer than five public users do.
    """

    samples: int = Field(4000, ge=0)
    public_share: float = Field(0.6, ge=0, lt=1)
    parts: int = Field(4, ge=1)
    steps: int = Field(3000, ge=1)
    learning_rate: float = Field(0.01, gt=0)
    batch_size: int = Field(32, ge=1)
    teacher_scale: float = Field(1.0, gt=0)
    soft_label_loss: str = "kl"
    top: int = Field(100, ge=1)
    public_steps: int = Field(0, ge=0)
    patience: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _known_soft_label_loss(self) -> Self:
        soft_label_loss(self.soft_label_loss)
        return self

    def training(self, steps: int, ordered: bool = False) -> StepTraining:
        """Return the training of a phase."""
        labels = HardLabels(target="next-item" if ordered else "history")
        rate, size = self.learning_rate, self.batch_size
        return StepTraining(steps=steps, decay=True, learning_rate=rate, batch_size=size, visible=0.5, labels=labels)


def server_student(
    student: Recommender,
    teacher: Recommender,
    public: Ragged,
    popularity: NDArray[Any],
    ordered: bool,
    how: ServerDistillation,
    rng: np.random.Generator,
    look: Look | None = None,
) -> Recommender:
    """Distil a student in place, and return it.

    Parameters
    ----------
    student : Recommender
        Untrained, or with what it has learnt before.
    teacher : Recommender
        A model that may be known, such as one of a released sum; what is made of it costs no further budget.
    public : Ragged of int32
        Histories of the public users, possibly none.
    popularity : ndarray, shape [items]
        Publicly known weights of the items, with which samples begin where there are no public users.
    ordered : bool
        Whether the teacher says what comes next, so that the order of histories tells something.
    how : ServerDistillation
        The settings.
    rng : numpy.random.Generator
    look : callable, optional
        Gets the student and its quality for the users held out at every look, where there is ``patience``.
    """
    known, watch = _judged(nonempty(public), how, rng, look)
    teacher = Standardised(teacher)
    scale = sampling_scale(teacher, known, ordered, rng)
    rows = _seen(teacher, known, popularity, ordered, scale, how, rng)
    targets = PartTargets(teacher, scale * how.teacher_scale, rows, how.parts, ordered, student.reach, rng)
    options = DistillationOptions(
        soft_label_loss=how.soft_label_loss, top=how.top, training=how.training(how.steps, ordered)
    )
    distil(student, targets, options, rng, watch)
    optimise(student, known, how.training(how.public_steps, ordered), rng)
    return student


def beside_linear(
    linear: Recommender, deep: Recommender, histories: Ragged, ordered: bool, rng: np.random.Generator
) -> WideDeep:
    """Return a student that has a linear one as its wide part, which at first says what suits some hard labels best.

    Parameters
    ----------
    linear : Recommender
        The linear student.
    deep : Recommender
        The part that is still to learn.
    histories : Ragged of int32
        Histories that may be known, whose latest items say how sure the linear student is at first.
    ordered : bool
        Whether it says what comes next.
    rng : numpy.random.Generator
    """
    return WideDeep(linear, deep, sampling_scale(Standardised(linear), nonempty(histories), ordered, rng))


def _judged(
    public: Ragged, how: ServerDistillation, rng: np.random.Generator, look: Look | None
) -> tuple[Ragged, Watch]:
    """Return the public histories to learn from, and what watches the training."""
    if not how.patience or len(public) < FEWEST:
        return public, Watch()
    kept, quality = held_out(public, rng)

    def seen(student: Recommender) -> float:
        found = quality(student)
        if look is not None:
            look(student, found)
        return found

    return kept, Watch(LOOK, seen, patience=how.patience)


def _seen(
    teacher: Recommender,
    public: Ragged,
    popularity: NDArray[Any],
    ordered: bool,
    scale: float,
    how: ServerDistillation,
    rng: np.random.Generator,
) -> Ragged:
    """Return sampled histories and public ones, these as often as gives them their share."""
    if not len(public):
        return sampled_histories(teacher, popular_beginnings(popularity, max(1, how.samples), rng), scale, rng)
    begun = public_beginnings(public, how.samples, BEGINNING, ordered, rng)
    often = max(1, round(how.public_share / (1 - how.public_share) * how.samples / len(public)))
    return Ragged.concatenate([sampled_histories(teacher, begun, scale, rng), *[public] * often])
