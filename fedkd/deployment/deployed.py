"""A model with its items, ready to recommend: from an exported folder, or from the folder of a run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.data.catalogue import Catalogue
from fedkd.deployment.folder import ExportFolder, is_exported
from fedkd.deployment.scorers import ExportedModel, HistoryForm, open_model, torch_run
from fedkd.deployment.titles import Titles
from fedkd.evaluation.metrics import top_items
from fedkd.lists.adjustment import Adjustment
from fedkd.lists.base import Asked
from fedkd.ragged import Ragged

AS_SCORED = Adjustment()
"""Lists in the order of the scores."""

Listed = list[tuple[int, float]]
"""Positions of items with their scores, best first."""


@dataclass(frozen=True)
class Deployed:
    """A model that recommends.

    Attributes
    ----------
    model : ExportedModel
        It scores histories.
    catalogue : Catalogue
        The items.
    name : str
        Name of the run that it comes from.
    version : str
        Changes with the model and its items; empty for a run's folder.
    adjustment : Adjustment
        What becomes of the scores before they are a list.
    """

    model: ExportedModel
    catalogue: Catalogue
    name: str
    version: str = ""
    adjustment: Adjustment = AS_SCORED

    @classmethod
    def open(cls, path: Path, threads: int = 1) -> "Deployed":
        """Open an exported folder, or a run's; a ``UserError`` where there is neither.

        Parameters
        ----------
        path : Path
            The folder.
        threads : int
            Threads of one call of the model.
        """
        if (path / "config.toml").is_file() and not is_exported(path):
            return _of_run(path)
        folder = ExportFolder.read(path)
        name = str(folder.manifest.get("name", ""))
        return cls(open_model(folder, threads), folder.catalogue, name, folder.version, folder.adjustment)

    @cached_property
    def titles(self) -> Titles:
        """The items by id and title."""
        return Titles(self.catalogue)

    def lists(
        self, histories: Sequence[Sequence[int]], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> list[Listed]:
        """Return the best items that are not in a history, for every history.

        Parameters
        ----------
        histories : sequence of sequence of int
            Item positions, oldest first; an item counts where it comes last.
        k : int
            Length of a list; it is shorter where fewer items are left.
        allowed : ndarray of bool, shape [items], optional
            The items that may be recommended; all without it.
        """
        rows = Ragged.from_rows([_latest(history) for history in histories], np.int64)
        barred = np.zeros(0, np.int64) if allowed is None else np.flatnonzero(~allowed)
        left_out = (
            rows if allowed is None else Ragged.from_rows([np.union1d(row, barred) for row in _rows(rows)], np.int64)
        )
        scores = self.adjustment(self.model.score(rows), Asked(rows, left_out))
        best = top_items(scores, left_out, k)
        return [
            [(int(item), float(own[item])) for item in items if item >= 0]
            for items, own in zip(best, scores, strict=True)
        ]

    def similar(self, item: int, k: int) -> Listed:
        """Return what the model recommends to somebody who has had one item alone, in the order of its scores."""
        return replace(self, adjustment=AS_SCORED).lists([[item]], k)[0]

    def shown(self, item: int) -> dict[str, Any]:
        """Return an item as people see it."""
        return {"id": self.titles.ids[item], "title": self.titles.shown[item]}


def _of_run(path: Path) -> Deployed:
    from fedkd.deployment.formats import history_length
    from fedkd.deployment.students import adjustment_of_run, student_of_run

    config, catalogue, student = student_of_run(path)
    form = HistoryForm(len(catalogue), history_length(student))
    return Deployed(
        ExportedModel(torch_run(student), form), catalogue, config.name, "", adjustment_of_run(path, config)
    )


def _latest(history: Sequence[int]) -> list[int]:
    """Return a history in which every item stands once, where it came last."""
    return list(dict.fromkeys(reversed(history)))[::-1]


def _rows(ragged: Ragged) -> list[NDArray[np.int64]]:
    return [ragged[row] for row in range(len(ragged))]
