"""``python -m simulations.cold_items RUN...``: how well finished runs rank items that nobody has had.

Runs with ``split.kind=cold-items`` learn nothing of some items. Here these alone are ranked for every private user who
has had some of them. Several runs of one configuration, each with a seed of its own, give intervals over seeds.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.table import Table

from fedkd.cli.terminal import guarded, plain_table, say, show, start
from fedkd.data.interactions import Interactions
from fedkd.distillation.cold_items import ContentMap, item_content
from fedkd.errors import UserError
from fedkd.evaluation.evaluator import Scorer, model_scores, over_seeds
from fedkd.evaluation.metrics import hits, top_items
from fedkd.models.base import Recommender
from fedkd.ragged import Ragged
from fedkd.report.formatting import interval_text
from fedkd.report.run import Interval
from fedkd.runs.federation import Federation, federation
from fedkd.runs.folder import RunFolder
from simulations.analysis import federated_models
from simulations.baselines import UnmadeError, central_model

RANDOM, CATEGORIES, UNDISTILLED = "random order", "popular categories", "undistilled"
BATCH = 512

Recalls = dict[str, float]
"""The recall of every way to rank cold items."""


@dataclass(frozen=True)
class ColdRanking:
    """The ranking of a run's cold items among themselves.

    Attributes
    ----------
    together : Federation
        The run's data.
    depth : int
        Length of the lists.
    """

    together: Federation
    depth: int

    @cached_property
    def had(self) -> NDArray[np.bool_]:
        """The items that somebody has had, shape [items]."""
        return np.asarray(self.together.fold.train.popularity() > 0)

    @cached_property
    def cold(self) -> NDArray[np.int64]:
        """The positions of those that are ranked: nobody has had them, and somebody will."""
        return np.flatnonzero(~self.had & (self.together.fold.target.popularity() > 0))

    def recalls(self, models: Mapping[str, Recommender]) -> Recalls:
        """Return the recall of models, and of what needs none; random order has the one that is expected of it."""
        ways = {name: constant(scores) for name, scores in by_category(self.together.fold.train).items()}
        ways |= {"content of the history": self._by_content} | {n: model_scores(model) for n, model in models.items()}
        return {RANDOM: self.depth / len(self.cold)} | {name: self.recall(way) for name, way in ways.items()}

    def recall(self, scorer: Scorer) -> float:
        """Return the share of a private user's expected cold items that are among their best, on average."""
        users = self.together.private
        users = users[self.together.fold.target.histories.lengths[users] > 0]
        parts = [users[begin : begin + BATCH] for begin in range(0, len(users), BATCH)]
        return float(np.concatenate([self._of_users(scorer, part) for part in parts]).mean())

    def _of_users(self, scorer: Scorer, users: NDArray[np.int64]) -> NDArray[np.float64]:
        fold = self.together.fold
        scores = scorer(fold.history.histories.take(users), users)[:, self.cold]
        target = fold.target.histories.take(users)
        expected = Ragged(np.searchsorted(self.cold, target.values).astype(np.int32), target.indptr)
        listed = top_items(scores, Ragged.from_rows([[]] * len(users), np.int32), self.depth)
        return np.asarray(hits(listed, expected, len(self.cold)).sum(axis=1) / expected.lengths)

    def _by_content(self, histories: Ragged, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score items for the content of a history alone, without what others have had."""
        del users
        scores = histories.matrix(len(self.had), np.float32).toarray()
        scores[:, ~self.had] = self._map.predicted(scores)
        return scores

    @cached_property
    def _map(self) -> ContentMap:
        return ContentMap.of(self.had, self.together.fold.train.catalogue)


def by_category(train: Interactions) -> dict[str, NDArray[np.float32]]:
    """Return scores for all items by three readings of how popular their categories are; none without categories.

    They are the interactions of an item's categories, those per item of each category, and the mean of these.
    """
    membership, counts = train.catalogue.membership.astype(np.float64), train.popularity()
    if not membership.shape[1]:
        return {}
    total = membership.T @ counts
    each = total / np.maximum(membership[counts > 0].sum(axis=0), 1)
    readings = {
        CATEGORIES: membership @ total,
        f"{CATEGORIES}, per item": membership @ each,
        f"{CATEGORIES}, averaged": membership @ each / np.maximum(membership.sum(axis=1), 1),
    }
    return {name: scores.astype(np.float32) for name, scores in readings.items()}


def constant(scores: NDArray[np.float32]) -> Scorer:
    """Return a scorer that says the same of everybody."""
    return lambda histories, users: np.tile(scores, (len(users), 1))


def of_run(path: Path, depth: int) -> Recalls:
    """Return the recalls of a finished run.

    Raises
    ------
    UserError
        The run has no cold items, too few of them, or nothing that could speak for them.
    """
    folder = RunFolder.open(path)
    config = folder.config()
    if config.split.kind != "cold-items":
        raise UserError(f"{path} has split.kind={config.split.kind}; make a run with --set split.kind=cold-items")
    if not folder.finished:
        raise UserError(f"{path} has not finished; continue it with --resume {path}")
    together = federation(config)
    found = ColdRanking(together, depth)
    if len(found.cold) <= depth:
        raise UserError(f"{path} has {len(found.cold)} cold items, so a list of {depth} holds all; lower --depth")
    if not item_content(together.fold.train.catalogue).shape[1]:
        raise UserError(f"{path} has a catalogue without titles, categories, years or vectors; give the data some")
    models = federated_models(config, together, folder)
    with suppress(UnmadeError):
        models = {UNDISTILLED: central_model(UNDISTILLED, config, together)} | models
    return found.recalls(models)


def table(runs: Sequence[Recalls], depth: int) -> Table:
    """Return the recalls over runs, and how many times those of random order and of the best category reading."""
    shown = plain_table("ranked by", numbers=(f"recall@{depth}", "of random", "of categories"))
    categories = [max((run[name] for name in run if name.startswith(CATEGORIES)), default=np.nan) for run in runs]
    for name in [name for name in runs[0] if all(name in run for run in runs)]:
        own = np.array([run[name] for run in runs])
        beside = [[run[RANDOM] for run in runs], categories]
        times = [_text(own / np.array(other), 2) for other in beside if np.isfinite(other).all()]
        shown.add_row(name, _text(own, 4), *times)
    return shown


def _text(values: NDArray[np.float64], digits: int) -> str:
    return interval_text(Interval(**over_seeds(values)), digits)


@guarded
def main(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs with split.kind=cold-items.")],
    depth: Annotated[int, typer.Option(help="Length of the lists of cold items.", min=1)] = 50,
) -> None:
    """Print how well cold items are ranked, among themselves, for private users who will have some of them."""
    torch.set_num_threads(1)
    found = [of_run(path, depth) for path in runs]
    count = "one run" if len(runs) == 1 else f"{len(runs)} runs, 95 % intervals over them"
    say(f"lists of {depth} cold items for private users; {count}")
    show(table(found, depth))


if __name__ == "__main__":
    start(main)
