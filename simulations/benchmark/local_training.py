"""The cohort engine beside a client-at-a-time loop, on the local work of PTF-FedRec.

Every client trains its own NCF on its positives and four times as many negatives. Both sides draw the same negatives
and the same order from the client's stream, start from the same weights, and use the same number of threads.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from fedkd.cli.terminal import guarded, start
from fedkd.data.sources.movielens_100k import MovieLens100K
from fedkd.losses.binary import binary_cross_entropy
from fedkd.models.ncf import NCF
from fedkd.ragged import Ragged
from fedkd.random_streams import stream
from fedkd.training.chunks import Model, Parameters, bytes_per_example
from fedkd.training.engine import replicate, train
from fedkd.training.examples import Examples
from fedkd.training.negatives import labelled_pairs, sample_negatives
from fedkd.training.options import CohortTraining
from simulations.benchmark.machine import measure_ceilings

TRAINING = CohortTraining(learning_rate=1e-3, epochs=5, batch_size=256, optimiser="adam")
NEGATIVES = 4


@dataclass(frozen=True)
class Timing:
    """One side of the comparison.

    Attributes
    ----------
    name : str
        Name of the side.
    clients : int
        Number of clients that it trained.
    seconds : float
        How long one round took, negatives included.
    processor : float
        Processor seconds of that round; tells more where others use the machine too.
    losses : ndarray, shape [clients, epochs]
        Mean loss of every epoch.
    rows : ndarray of int64, shape [clients]
        Positions of these clients.
    """

    name: str
    clients: int
    seconds: float
    processor: float
    losses: NDArray[np.float64]
    rows: NDArray[np.int64]

    @property
    def rate(self) -> float:
        """Client-rounds per second."""
        return self.clients / self.seconds


def run(histories: Ragged, num_items: int, plain_clients: int | None = 96, repeats: int = 3) -> tuple[Timing, Timing]:
    """Measure one round of both sides, by turns; the fastest of each counts.

    Parameters
    ----------
    histories : Ragged of int32
        One row of item positions per client.
    num_items : int
        Size of the catalogue.
    plain_clients : int, optional
        How many clients the plain loop trains, spread evenly over the history lengths; all of them without it.
    repeats : int
        How often each side works.

    Returns
    -------
    engine, plain : Timing
        The engine always trains all clients.
    """
    torch.manual_seed(0)
    model = NCF(num_items)
    everyone = np.arange(len(histories))
    some = _spread(histories, plain_clients or len(histories))
    sides = (("cohort engine", _engine, everyone), ("client at a time", _plain, some))
    for name, work_of, _ in sides:  # what is loaded at first use is loaded now
        _measure(name, work_of, model, histories, some[:2])
    rounds = [[_measure(name, side, model, histories, rows) for name, side, rows in sides] for _ in range(repeats)]
    engine, plain = (min(measured, key=lambda row: row.seconds) for measured in zip(*rounds, strict=True))
    return engine, plain


def _spread(histories: Ragged, count: int) -> NDArray[np.int64]:
    """Return clients from the middles of ``count`` equal groups by history length, ascending."""
    count = min(count, len(histories))
    middles = ((np.arange(count) + 0.5) * len(histories) / count).astype(np.int64)
    return np.sort(np.argsort(histories.lengths, kind="stable")[middles])


Side = Callable[[NCF, Parameters, Ragged, NDArray[np.int64]], NDArray[np.float64]]


def _measure(name: str, side: Side, model: NCF, histories: Ragged, rows: NDArray[np.int64]) -> Timing:
    parameters, own = replicate(model, len(rows)), histories.take(rows)
    wall, processor = time.perf_counter(), time.process_time()
    losses = side(model, parameters, own, rows)
    return Timing(name, len(rows), time.perf_counter() - wall, time.process_time() - processor, losses, rows)


def entropy(student: Model, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the binary cross-entropy of every pair, shape [batch]."""
    return binary_cross_entropy(student(batch["item"]), batch["label"])


def _engine(model: NCF, parameters: Parameters, histories: Ragged, clients: NDArray[np.int64]) -> NDArray[np.float64]:
    streams = [stream(0, "train", 1, int(client)) for client in clients]
    return train(model, parameters, _examples(histories, model.num_items, streams), entropy, TRAINING, streams)


def _examples(histories: Ragged, num_items: int, streams: list[np.random.Generator]) -> Examples:
    items, labels = labelled_pairs(histories, sample_negatives(histories, num_items, NEGATIVES, streams))
    return Examples({"item": items, "label": labels}, items=("item",))


def _plain(model: NCF, parameters: Parameters, histories: Ragged, clients: NDArray[np.int64]) -> NDArray[np.float64]:
    """Train client after client with a module, a DataLoader and an Adam each."""
    losses = np.empty((len(clients), TRAINING.epochs))
    for row, client in enumerate(clients):
        generator = stream(0, "train", 1, int(client))
        student = NCF(model.num_items)
        student.load_state_dict({name: stacked[row] for name, stacked in parameters.items()})
        pairs = _examples(histories.take(np.array([row])), model.num_items, [generator])
        data = TensorDataset(*(torch.from_numpy(column.values) for column in pairs.columns.values()))
        losses[row] = _train_one(student, data, generator)
    return losses


def _train_one(student: NCF, data: TensorDataset, generator: np.random.Generator) -> list[float]:
    optimiser = torch.optim.Adam(student.parameters(), lr=TRAINING.learning_rate)
    losses = []
    for _ in range(TRAINING.epochs):
        shuffle = len(data) > TRAINING.batch_size
        order = generator.permutation(len(data)) if shuffle else np.arange(len(data))
        total = 0.0
        for items, labels in DataLoader(data, TRAINING.batch_size, sampler=order.tolist()):
            optimiser.zero_grad()
            loss = functional.binary_cross_entropy_with_logits(student(items), labels)
            torch.autograd.backward(loss)
            optimiser.step()
            total += loss.item() * len(items)
        losses.append(total / len(data))
    return losses


def work(histories: Ragged, num_items: int) -> tuple[float, float]:
    """Return the fewest operations and bytes that a round of all clients needs.

    Multiplications of the perceptron forward, and twice that backward; intermediate results written and read once each,
    and seven words a step for every parameter touched (parameter, gradient, two moments read; three written).
    """
    model = NCF(num_items)
    layers = sum(
        p.numel() for name, p in model.named_parameters() if p.ndim == 2 and name not in ("user.weight", "item.weight")
    )
    pairs = (1 + NEGATIVES) * histories.lengths
    steps = TRAINING.epochs * -(-pairs // TRAINING.batch_size)
    touched = np.minimum(num_items, pairs) * model.item.embedding_dim + layers
    one = Examples(
        {name: Ragged.from_rows([np.zeros(16)], kind) for name, kind in (("item", np.int64), ("label", np.float32))}
    )
    moved = 2 * bytes_per_example(model, one, entropy) * pairs.sum() * TRAINING.epochs
    return 6.0 * layers * pairs.sum() * TRAINING.epochs, float(moved + 28 * (touched * steps).sum())


@guarded
def main(
    path: Annotated[Path | None, typer.Option(help="Folder with MovieLens-100K; downloaded without it.")] = None,
    plain_clients: Annotated[int, typer.Option(help="Clients of the plain loop, spread over history lengths.")] = 96,
    everyone: Annotated[bool, typer.Option("--all", help="Let the plain loop train every client.")] = False,
    threads: Annotated[int, typer.Option(help="Threads of both sides.")] = 1,
) -> None:
    """Measure local training on MovieLens-100K, one user a client; of three runs the fastest counts."""
    torch.set_num_threads(threads)
    data = MovieLens100K(path=path).load().interactions
    engine, plain = run(data.histories, data.num_items, None if everyone else plain_clients)
    print(f"{len(data.histories)} clients, {len(data)} positives, {data.num_items} items, {threads} thread(s)")
    for row in (engine, plain):
        figures = f"{row.seconds:>9.2f} s ({row.processor:.2f} s processor){row.rate:>9.1f} client-rounds/s"
        print(f"{row.name:<18}{row.clients:>5} clients{figures}")
    difference = np.abs(engine.losses[plain.rows] - plain.losses).max()
    processor = (plain.processor / plain.clients) / (engine.processor / engine.clients)
    print(
        f"ratio {engine.rate / plain.rate:.1f} (of processor seconds {processor:.1f}), "
        f"largest difference of a loss {difference:.1e}"
    )
    ceilings = measure_ceilings()
    operations, moved = (amount / engine.seconds / 1e9 for amount in work(data.histories, data.num_items))
    print(f"matrix multiply {operations:.1f} of {ceilings.gflops:.0f} GFLOP/s ({operations / ceilings.gflops:.0%})")
    print(f"memory {moved:.1f} of {ceilings.gigabytes:.0f} GB/s ({moved / ceilings.gigabytes:.0%})")


if __name__ == "__main__":
    start(main)
