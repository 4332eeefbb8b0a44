"""One phase of training: steps of Adam on batches of rows, watched by whoever wants to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from fedkd.models.base import Recommender
from fedkd.options import Options

Rows = NDArray[np.int64]


class TrainingOptions(Options):
    """How long and how fast one phase trains.

    Attributes
    ----------
    steps : int
        Steps of Adam; 0 skips the phase.
    batch_size : int
        Histories of a step; all of them where there are fewer.
    learning_rate : float
        Of Adam.
    weight_decay : float
        L2 penalty, as Adam adds it to the gradient.
    visible : float
        Probability that an item of a history is shown to the model; less than 1 trains it to complete histories.
    """

    steps: int = Field(300, ge=0)
    batch_size: int = Field(1024, ge=1)
    learning_rate: float = Field(0.01, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    visible: float = Field(1.0, gt=0, le=1)


@dataclass(frozen=True)
class Progress:
    """Where a phase stands.

    Attributes
    ----------
    phase : str
        ``pretrain``, ``distil`` or ``optimise``.
    step, steps : int
        Steps done, and steps in all.
    loss : float
        Loss of the last batch.
    quality : float, optional
        What ``Watch.evaluate`` said of the model, higher is better.
    """

    phase: str
    step: int
    steps: int
    loss: float
    quality: float | None


@dataclass(frozen=True)
class Watch:
    """Who is told how training goes, and who judges it.

    Attributes
    ----------
    every : int
        Steps between reports; the last step is always reported.
    evaluate : callable, optional
        Quality of a model on *validation* data, higher is better; the best state is kept. Without it the last one is.
    report : callable, optional
        Gets the progress.
    """

    every: int = 50
    evaluate: Callable[[Recommender], float] | None = None
    report: Callable[[Progress], None] | None = None


def train(
    model: Recommender,
    loss_of: Callable[[Rows], Tensor],
    num_rows: int,
    options: TrainingOptions,
    rng: np.random.Generator,
    watch: Watch,
    phase: str,
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
        How many rows there are; without any nothing happens.
    options : TrainingOptions
        Length and speed.
    rng : numpy.random.Generator
        Draws the batches; dropout is seeded from it too.
    watch : Watch
        Reports and evaluation.
    phase : str
        Name in the reports.
    helper : Module, optional
        What is trained beside the model, such as a projection of features.

    Returns
    -------
    float or None
        The best quality, where ``watch`` evaluates.
    """
    parameters = [*model.parameters(), *(helper.parameters() if helper is not None else ())]
    best: tuple[float, dict[str, Tensor]] | None = None
    if num_rows == 0 or options.steps == 0:
        model.eval()
        return None
    adam = torch.optim.Adam(parameters, lr=options.learning_rate, weight_decay=options.weight_decay)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**62)))
        for step, rows in enumerate(_batches(num_rows, options, rng), start=1):
            loss = _step(model.train(), adam, loss_of, rows)
            if step % watch.every == 0 or step == options.steps:
                quality = watch.evaluate(model.eval()) if watch.evaluate is not None else None
                best = _better(best, quality, model)
                if watch.report is not None:
                    watch.report(Progress(phase, step, options.steps, loss, quality))
    if best is not None:
        model.load_state_dict(best[1])
    model.eval()
    return None if best is None else best[0]


def _step(model: Recommender, adam: torch.optim.Adam, loss_of: Callable[[Rows], Tensor], rows: Rows) -> float:
    adam.zero_grad()
    loss = loss_of(rows)
    torch.autograd.backward(loss)
    adam.step()
    return float(loss.detach())


def _batches(num_rows: int, options: TrainingOptions, rng: np.random.Generator) -> Iterator[Rows]:
    """Yield batches of rows, every row once before any row again."""
    size = min(options.batch_size, num_rows)
    queue = np.zeros(0, np.int64)
    for _ in range(options.steps):
        if len(queue) < size:
            queue = np.concatenate([queue, rng.permutation(num_rows)])
        yield queue[:size]
        queue = queue[size:]


def _better(
    best: tuple[float, dict[str, Tensor]] | None, quality: float | None, model: Recommender
) -> tuple[float, dict[str, Tensor]] | None:
    """Return the better of the best state so far and the present one."""
    if quality is None or (best is not None and quality <= best[0]):
        return best
    return quality, {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
