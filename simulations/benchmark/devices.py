"""Training in single precision on the CPU, beside mixed precision, compiled models and every other processor.

All ways begin with the same numbers and see the same batches, without dropout, so that what they learn can be compared.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.table import Table

from fedkd.cli.terminal import guarded, plain_table, say, show
from fedkd.distillation.options import PRETRAINING
from fedkd.distillation.pipeline import pretrain
from fedkd.evaluation.evaluator import evaluate, model_scores
from fedkd.evaluation.metrics import PRIMARY
from fedkd.models.base import ModelConfig, score
from fedkd.models.device import DeviceName, available, use_device
from fedkd.models.table import MODELS
from fedkd.random_streams import stream
from fedkd.runs.config import load
from fedkd.runs.federation import Federation, federation
from fedkd.runs.mistakes import validated
from fedkd.training.central import TrainingProgress, Watch

FIRST = 5
"""Steps that are not timed: a compiler works in them."""


@dataclass(frozen=True)
class Way:
    """A way to train.

    Attributes
    ----------
    device : str
        The processor.
    mixed : bool
        Whether products are made in bfloat16 where torch deems that safe (autocast).
    compiled : bool
        Whether ``torch.compile`` compiles the model.
    """

    device: DeviceName
    mixed: bool = False
    compiled: bool = False

    def __str__(self) -> str:
        return self.device + ", bfloat16" * self.mixed + ", compiled" * self.compiled

    def precision(self) -> AbstractContextManager[object]:
        """Return a context in which models compute with this precision."""
        return torch.autocast(self.device, torch.bfloat16) if self.mixed else nullcontext()


PLAIN = Way("cpu")


@dataclass(frozen=True)
class Trained:
    """The outcome of a training: seconds of a step, scores of private users' histories, and their NDCG."""

    seconds: float
    scores: NDArray[np.float32]
    quality: float


def ways() -> Iterator[Way]:
    """Yield every way on every processor that torch has here, plain training on the CPU first."""
    for device in sorted(available(), key=lambda name: name != PLAIN.device):
        yield from (Way(device), Way(device, mixed=True), Way(device, compiled=True))


def trained(config: ModelConfig, together: Federation, way: Way, steps: int) -> Trained:
    """Train a model on everyone's hard labels in one of the ways; it is scored in single precision."""
    fold = together.fold
    use_device(way.device)
    model = config.build(fold.train.catalogue, seed=0)
    if way.compiled:
        model.compile(dynamic=True)
    times: list[float] = []

    def note(progress: TrainingProgress) -> None:
        times.append(time.perf_counter())

    training = PRETRAINING.model_copy(update={"steps": FIRST + steps})
    with way.precision():
        pretrain(model, fold.train.histories, training, stream(0, "benchmark"), Watch(1, report=note))
    shown = fold.history.histories.take(together.private)
    quality = evaluate(model_scores(model), fold, together.private).means()[PRIMARY]
    return Trained((times[-1] - times[FIRST - 1]) / steps, score(model, shown), quality)


def table(name: str, config: ModelConfig, together: Federation, steps: int) -> Table:
    """Return a row for every way to train a model; one that fails says so, and the others go on."""
    shown = plain_table(name, numbers=("ms a step", "times as fast", "largest difference", PRIMARY))
    plain = trained(config, together, PLAIN, steps)
    for way in ways():
        try:
            found = plain if way == PLAIN else trained(config, together, way, steps)
        except RuntimeError as error:  # no compiler, or an operation that a processor lacks
            shown.add_row(str(way), f"fails: {type(error).__name__}")
            continue
        apart = np.abs(found.scores - plain.scores).max() / np.abs(plain.scores).max()
        cells = (1e3 * found.seconds, plain.seconds / found.seconds, apart, found.quality)
        shown.add_row(str(way), *(text.format(cell) for text, cell in zip(FORMS, cells, strict=True)))
    return shown


FORMS = ("{:.1f}", "{:.2f}", "{:.1e}", "{:.4f}")


@guarded
def main(
    users: Annotated[int, typer.Option(help="Users of made-up data.", min=100)] = 2000,
    items: Annotated[int, typer.Option(help="Items of made-up data.", min=100)] = 3000,
    width: Annotated[int, typer.Option(help="Width of the models.", min=4)] = 64,
    steps: Annotated[int, typer.Option(help="Timed steps of 256 histories.", min=1)] = 40,
    models: Annotated[list[str] | None, typer.Option("--model", help="A family; all by default.")] = None,
    threads: Annotated[int, typer.Option(help="Threads of the CPU.", min=1)] = 2,
) -> None:
    """Time training on every processor, in mixed precision and compiled, and compare what is learnt."""
    torch.set_num_threads(threads)
    together = federation(load(None, [f"data.synthetic.users={users}", f"data.synthetic.items={items}"]))
    say(f"{users} users, {items} items, width {width}, {threads} threads; differences are of scores, over the largest")
    if available() == ("cpu",):
        say("torch has no GPU here, so what one would bring is not shown")
    for name in models or MODELS.names:
        config = validated(MODELS.find(name), {"width": width}, f"--model {name}")
        show(table(name, undropped(config), together, steps))


def undropped(config: ModelConfig) -> ModelConfig:
    """Return a model's settings without dropout, whose draws differ between processors."""
    return config.model_copy(update={"dropout": 0.0} if "dropout" in type(config).model_fields else {})
