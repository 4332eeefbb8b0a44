"""Growth of a round of the default protocol with the data: MovieLens-1M beside 100K, with equal references."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from fedkd.cli.terminal import guarded
from fedkd.runs.config import Config, load
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from simulations.benchmark.machine import Ceilings, measure_ceilings
from simulations.simulate import simulate

SOURCES = ("movielens-100k", "movielens-1m")


@dataclass(frozen=True)
class Scale:
    """One round of a data set.

    Attributes
    ----------
    source : str
        The data set.
    clients, items : int
        Private clients, each of whom contributes, and size of the catalogue.
    history : float
        Mean length of a client's training history.
    exchange, teaching : float
        Seconds in which clients were asked, learnt, answered and were pooled, and in which the server taught.
    peak : int
        Largest resident memory of this process so far, in bytes.
    """

    source: str
    clients: int
    items: int
    history: float
    exchange: float
    teaching: float
    peak: int

    @property
    def microseconds(self) -> float:
        """Time of the exchange per client-round."""
        return 1e6 * self.exchange / self.clients

    @property
    def cells(self) -> float:
        """History length x catalogue, the measure of a client's work."""
        return self.history * self.items

    def operations(self, references: int, rank: int) -> float:
        """Return the float operations of a round at least: an inverse of items x items, three products for its Gram.

        The Gram matrix of the public users and the complement, the teacher's inverse by Cholesky, and one pass of the
        eigenvectors' iteration, three products of items x items with ``rank`` vectors. Sparse products are left out.
        """
        square = float(self.items) ** 2
        return 2 * square * self.items + 2 * square * (3 * references) + 6 * square * rank

    def moved(self, references: int) -> float:
        """Return the bytes a round moves at least: every sum of 8-byte integers and matrix of doubles, in and out."""
        return 16.0 * self.items * (references * 3 + self.items * 6)


def run(source: str, path: Path | None, references: int, seed: int) -> Scale:
    """Run one round on a data set and return its cost."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        config = load(None, settings(source, path, references, seed, folder))
        created = RunFolder.create(folder, config)
        simulate(config)
        return _scale(config, created)


def settings(source: str, path: Path | None, references: int, seed: int, folder: Path) -> list[str]:
    """Return the configuration of a run of the default protocol with a fixed number of references."""
    where = [] if path is None else [f"data.path={json.dumps(str(path))}"]
    out = f"runtime.run-folder={json.dumps(str(folder))}"
    size = f"algorithm.references={references}"
    return [f"data.source={source}", *where, f"seed={seed}", size, out, "evaluation.baselines=[]"]


def _scale(config: Config, folder: RunFolder) -> Scale:
    together, summary = federation(config), folder.read_json("summary.json")
    speed, lengths = summary["speed"], together.fold.train.take(together.private).histories.lengths
    return Scale(
        config.data.source,
        summary["clients"]["answered"],
        together.fold.train.num_items,
        float(lengths.mean()),
        speed["seconds-per-round"] - speed["teaching-seconds-per-round"],
        speed["teaching-seconds-per-round"],
        speed["peak-memory-bytes"],
    )


def lines(scales: list[Scale], references: int, rank: int, ceilings: Ceilings) -> list[str]:
    """Return the output of the benchmark."""
    out = []
    for scale in scales:
        gflops = scale.operations(references, rank) / (scale.exchange + scale.teaching) / 1e9
        gigabytes = scale.moved(references) / (scale.exchange + scale.teaching) / 1e9
        out.append(
            f"{scale.source}: {scale.clients} clients, mean history {scale.history:.1f}, {scale.items} items, "
            f"{references} references"
        )
        out.append(
            f"  exchange {scale.exchange:.2f} s, {scale.microseconds:.0f} microseconds a client-round; "
            f"teaching {scale.teaching:.2f} s; peak memory {scale.peak / 2**30:.2f} GiB"
        )
        out.append(
            f"  at least {gflops:.1f} of {ceilings.gflops:.0f} GFLOP/s ({gflops / ceilings.gflops:.0%}) and "
            f"{gigabytes:.1f} of {ceilings.gigabytes:.0f} GB/s ({gigabytes / ceilings.gigabytes:.0%})"
        )
    small, large = scales
    out.append(
        f"time per client-round grows {large.microseconds / small.microseconds:.2f}x, "
        f"history length x catalogue {large.cells / small.cells:.2f}x"
    )
    return out


@guarded
def main(
    small_path: Annotated[Path | None, typer.Option(help="Folder with MovieLens-100K; downloaded without it.")] = None,
    large_path: Annotated[Path | None, typer.Option(help="Folder with MovieLens-1M; downloaded without it.")] = None,
    references: Annotated[int, typer.Option(help="References of both, each scored for the whole catalogue.")] = 128,
) -> None:
    """Run the default protocol on both MovieLens data sets and print how its time grows."""
    paths = (small_path, large_path)
    run(SOURCES[0], small_path, references, seed=0)  # what is loaded at first use is loaded now
    scales = [run(source, path, references, seed=0) for source, path in zip(SOURCES, paths, strict=True)]
    for line in lines(scales, references, 32, measure_ceilings()):
        print(line)
