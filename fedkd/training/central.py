"""The central training loop: steps of Adam on batches of rows, with reports and a choice of the best state."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedkd.models.base import Recommender
from fedkd.models.device import computing
from fedkd.models.watching import watched
from fedkd.training.adam import Adam
from fedkd.training.options import AdamTraining

Rows = NDArray[np.int64]

PHASES = ("training", "pretrain", "distil", "optimise")
"""Names under which this loop is watched; a watcher that yields fewer steps ends it there."""


class Best(NamedTuple):
    """The best quality so far, and the step and the state that had it."""

    quality: float
    step: int
    state: dict[str, Tensor]


@dataclass(frozen=True)
class TrainingProgress:
    """A point in the course of a phase.

    Attributes
    ----------
    phase : str
        ``pretrain``, ``distil`` or ``optimise``.
    step, steps : int
        Steps done, and steps in all.
    loss : float
        Loss of the last batch.
    quality : float, optional
        Quality of the model by ``Watch.evaluate``, higher is better.
    """

    phase: str
    step: int
    steps: int
    loss: float
    quality: float | None


@dataclass(frozen=True)
class Watch:
    """Reports of a training's progress, and the choice of its best state.

    Attributes
    ----------
    every : int
        Steps between reports; the last step is always reported.
    evaluate : callable, optional
        Quality of a model on *validation* data, higher is better; the best state is kept. Without it the last one is.
    report : callable, optional
        Gets the progress.
    patience : int
        Reports without a better quality after which training stops; 0 for never.
    """

    every: int = 50
    evaluate: Callable[[Recommender], float] | None = None
    report: Callable[[TrainingProgress], None] | None = None
    patience: int = 0

    def enough(self, step: int, best: Best | None) -> bool:
        """Return whether the best quality is so many reports old that training stops."""
        return bool(self.patience) and best is not None and step - best.step >= self.patience * self.every


def train(
    model: Recommender,
    loss_of: Callable[[Rows], Tensor],
    num_rows: int,
    training: AdamTraining,
    rng: np.random.Generator,
    watch: Watch | None = None,
    phase: str = "",
    helper: nn.Module | None = None,
) -> float | None:
    """Train a model in place.

    Parameters
    ----------
    model : Recommender
        Left in evaluation mode, with its best state where ``watch`` evaluates.
    loss_of : callable
        Loss of a batch, given the positions of its rows.
    num_rows : int
        Number of rows; without any nothing happens.
    training : AdamTraining
        Number of steps and their size.
    rng : numpy.random.Generator
        Generator of the batches, which also seeds dropout.
    watch : Watch, optional
        Reports and evaluation.
    phase : str
        Name in the reports.
    helper : Module, optional
        Trained beside the model, such as a projection of features.

    Returns
    -------
    float or None
        The best quality, where ``watch`` evaluates.
    """
    watch, steps, best = watch or Watch(), training.num_steps(num_rows), None
    if num_rows == 0 or steps == 0:
        model.eval()
        return None
    with computing(model, helper), torch.random.fork_rng(devices=[]):
        parameters = [*model.parameters(), *(helper.parameters() if helper is not None else ())]
        adam = Adam(parameters, training.learning_rate, training.weight_decay)
        torch.manual_seed(int(rng.integers(2**62)))
        batches = _batches(num_rows, steps, training.batch_size, rng)
        for step, rows in enumerate(watched(batches, steps, phase or PHASES[0]), start=1):
            adam.learning_rate = training.rate(step, steps)
            model.train()
            loss = adam.step(loss_of(rows))
            if step % watch.every == 0 or step == steps:
                quality = watch.evaluate(model.eval()) if watch.evaluate is not None else None
                best = _better(best, quality, step, model)
                if watch.report is not None:
                    watch.report(TrainingProgress(phase, step, steps, loss, quality))
                if watch.enough(step, best):
                    break
    if best is not None:
        model.load_state_dict(best.state)
    model.eval()
    return None if best is None else best.quality


def _batches(num_rows: int, steps: int, batch_size: int, rng: np.random.Generator) -> Iterator[Rows]:
    """Yield batches of rows, every row once before any row again."""
    size = min(batch_size, num_rows)
    queue = np.zeros(0, np.int64)
    for _ in range(steps):
        if len(queue) < size:
            queue = np.concatenate([queue, rng.permutation(num_rows)])
        yield queue[:size]
        queue = queue[size:]


def _better(best: Best | None, quality: float | None, step: int, model: Recommender) -> Best | None:
    """Return the better of the best state so far and the present one."""
    if quality is None or (best is not None and quality <= best.quality):
        return best
    return Best(quality, step, {name: tensor.detach().clone() for name, tensor in model.state_dict().items()})
