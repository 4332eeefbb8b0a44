"""DP-SGD of all students beside dense steps without clip and noise, and beside steps on touched items alone."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
import torch
import typer
from rich.table import Table
from torch import Tensor, nn

from fedkd.cli.terminal import guarded, plain_table, say, show
from fedkd.models.autoencoder import Autoencoder
from fedkd.models.ncf import NCF
from fedkd.protocols.ptf_fedrec import pair_loss
from fedkd.ragged import Ragged
from fedkd.random_streams import stream
from fedkd.training.chunks import Loss
from fedkd.training.dp_sgd import GradientNoise, train_with_noise
from fedkd.training.engine import replicate, train
from fedkd.training.examples import Examples
from fedkd.training.local import history_loss
from fedkd.training.options import CohortTraining

REPEATS = 5
BATCHES = (16, 64)
"""Planned examples of a step."""


class Factors(nn.Module):
    """A taste against item vectors, with no layers between: nearly all numbers are items."""

    item_tables: ClassVar[dict[str, int]] = {"item.weight": 0}

    def __init__(self, num_items: int, width: int) -> None:
        super().__init__()
        self.num_items = num_items
        self.item = nn.Embedding(num_items, width)
        self.taste = nn.Parameter(torch.randn(width) * width**-0.5)

    def forward(self, items: Tensor) -> Tensor:
        """Return the logits of items."""
        return torch.as_tensor((self.item(items) * self.taste).sum(-1))

    @staticmethod
    def stacked(parameters: Mapping[str, Tensor], items: Tensor) -> Tensor:
        """Return the logits of many models at once, shape [clients, batch]."""
        table = parameters["item.weight"]
        first = torch.arange(0, table.shape[0] * table.shape[1], table.shape[1]).unsqueeze(1)
        chosen = table.flatten(0, 1).index_select(0, (items + first).flatten()).view(*items.shape, -1)
        return torch.as_tensor((chosen * parameters["taste"].unsqueeze(1)).sum(-1))


@guarded
def main(
    students: Annotated[int, typer.Option(min=1)] = 128,
    items: Annotated[int, typer.Option(min=2)] = 1682,
    width: Annotated[int, typer.Option(help="Numbers of an item.", min=1)] = 32,
    pass_steps: Annotated[int, typer.Option(help="Steps that go once through a student's examples.", min=1)] = 4,
    epochs: Annotated[int, typer.Option(help="Steps are as many as make so many passes.", min=1)] = 5,
    threads: Annotated[int, typer.Option(help="Of all sides.", min=1)] = 1,
) -> None:
    """Time DP-SGD of many students, median of five interleaved runs."""
    torch.set_num_threads(threads)
    models: dict[str, nn.Module] = {"item vectors": Factors(items, width), "NCF": NCF(items, dimensions=width)}
    steps = epochs * pass_steps
    for batch in BATCHES:
        examples = batch * pass_steps
        say(f"{students} students, {items} items x {width}, {batch} of {examples} examples a step, {steps} steps")
        dense = _dense(students, items, examples)
        for name, model in models.items():
            show(_table(name, _variants(model, dense, pair_loss, batch, epochs, steps), steps))
        histories = _histories(students, items, examples)
        variants = _variants(Autoencoder(items, width), histories, history_loss(items), batch, epochs, steps)
        show(_table("autoencoder", variants, steps))


def _dense(students: int, items: int, examples: int) -> Examples:
    """Return synthetic pairs of item and label, equally many for every student."""
    rng, count = np.random.default_rng(0), students * examples
    indptr = np.arange(students + 1) * examples
    columns = {
        "item": Ragged(rng.integers(0, items, count), indptr),
        "label": Ragged(rng.integers(0, 2, count).astype(np.float32), indptr),
    }
    return Examples(columns)


def _histories(students: int, items: int, examples: int) -> Examples:
    """Return synthetic histories of 50 items, half of them shown, equally many for every student."""
    rng, count = np.random.default_rng(0), students * examples
    indptr, whole = np.arange(students + 1) * examples, rng.integers(0, items, (count, 50))
    columns = {"shown": Ragged(whole[:, :25].copy(), indptr), "whole": Ragged(whole, indptr)}
    return Examples(columns, histories=("shown", "whole"))


def _variants(
    model: nn.Module, dense: Examples, loss: Loss, batch: int, epochs: int, steps: int
) -> dict[str, Callable[[], object]]:
    """Return the timed variants; each trains students of its own, which begin alike.

    A loss over the whole catalogue touches all items, so there is no third variant.
    """
    pairs = "item" in dense.columns
    how = CohortTraining(epochs=epochs, learning_rate=0.01, batch_size=batch, optimiser="sgd")
    sparse = replace(dense, items=("item",)) if pairs else dense
    noise = GradientNoise(1.0, 1.0, epochs / steps, steps, float(batch))
    streams = [stream(0, "benchmark", row) for row in range(len(dense))]
    own = [replicate(model, len(dense)) for _ in range(3)]
    both: dict[str, Callable[[], object]] = {
        "clip and noise": partial(train_with_noise, model, own[0], sparse, loss, how.learning_rate, noise),
        PLAIN: partial(train, model, own[1], dense, loss, how, streams),
    }
    touched = {"touched items alone, without": partial(train, model, own[2], sparse, loss, how, streams)}
    return both | touched if pairs else both


PLAIN = "dense, without clip and noise"


def _table(name: str, variants: dict[str, Callable[[], object]], steps: int) -> Table:
    """Time variants by turns; processor seconds tell more where others use the machine too."""
    times: dict[str, list[tuple[float, float]]] = {variant: [] for variant in variants}
    for _ in range(REPEATS + 1):
        for variant, work in variants.items():
            begun = time.perf_counter(), time.process_time()
            work()
            times[variant].append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    medians = {variant: np.median(seconds[1:], axis=0) / steps for variant, seconds in times.items()}
    table = plain_table(name, numbers=("ms a step", "of dense", "processor ms", "of dense"))
    for variant, both in medians.items():
        (wall, processor), ratio = 1e3 * both, both / medians[PLAIN]
        table.add_row(variant, f"{wall:.1f}", f"{ratio[0]:.2f}", f"{processor:.1f}", f"{ratio[1]:.2f}")
    return table
