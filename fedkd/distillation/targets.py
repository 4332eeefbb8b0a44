"""Distillation targets: soft labels and features that a teacher gives for histories."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedkd.distillation.objective import layer_features
from fedkd.distillation.options import DistillationOptions
from fedkd.distillation.popularity_groups import group_pairs, popularity_groups
from fedkd.models.base import Recommender, padded_histories, score
from fedkd.models.device import computing
from fedkd.ragged import Ragged
from fedkd.training.hard_labels import sub_sampled


class Targets(ABC):
    """Examples for a student: histories, and what a teacher says of them."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def batch(self, rows: NDArray[np.int64], num_items: int) -> dict[str, Tensor]:
        """Return some rows in the form that `fedkd.distillation.objective` takes."""

    @property
    def width(self) -> int | None:
        """Width of the teacher's features; None where there are none."""
        return None

    def groups(self, options: DistillationOptions, num_items: int) -> list[NDArray[np.int64]]:
        """Return groups of equally popular items, whose pairs are compared; none by default."""
        del options, num_items
        return []

    def pairs(
        self, rows: NDArray[np.int64], groups: list[NDArray[np.int64]], pairs: int, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """Draw pairs inside groups for some rows, in the form that `fedkd.distillation.objective` takes."""
        del rows, groups, pairs, rng
        return {}


@dataclass(frozen=True)
class DistillationTargets(Targets):
    """Histories, and a teacher's outputs for them; pooled answers of clients are targets too.

    Attributes
    ----------
    histories : Ragged of int32
        The student's input.
    scores : ndarray of float32, shape [histories, items]
        The teacher's logits.
    labels : Ragged of int32
        Hard labels: the items that the user is known to have chosen.
    features : ndarray of float32, shape [histories, positions, features], optional
        The teacher's features of the chosen layer; one position where they are not compared position by position.
    """

    histories: Ragged
    scores: NDArray[np.float32]
    labels: Ragged
    features: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.histories)

    @property
    def width(self) -> int | None:
        """Width of the teacher's features."""
        return None if self.features is None or len(self) == 0 else self.features.shape[-1]

    def batch(self, rows: NDArray[np.int64], num_items: int) -> dict[str, Tensor]:
        """Return some rows in the form that `fedkd.distillation.objective` takes."""
        shown, whole = (padded_histories(part.take(rows), num_items) for part in (self.histories, self.labels))
        batch = {"shown": shown, "whole": whole, "teacher": torch.from_numpy(self.scores[rows])}
        return batch if self.features is None else batch | {"features": torch.from_numpy(self.features[rows])}

    def groups(self, options: DistillationOptions, num_items: int) -> list[NDArray[np.int64]]:
        """Return groups of equally popular items by the hard labels, none where their pairs have no weight."""
        if not options.compares_pairs:
            return []
        return popularity_groups(np.bincount(self.labels.values, minlength=num_items), options.groups)

    def pairs(
        self, rows: NDArray[np.int64], groups: list[NDArray[np.int64]], pairs: int, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """Draw pairs inside groups for some rows, in the form that `fedkd.distillation.objective` takes."""
        if not groups:
            return {}
        drawn = group_pairs(self.scores[rows], groups, pairs, rng)
        return dict(zip(("better", "worse"), map(torch.from_numpy, drawn), strict=True))


def teacher_targets(
    teacher: Recommender, histories: Ragged, options: DistillationOptions, views: int, rng: np.random.Generator
) -> DistillationTargets:
    """Return the targets for histories and ``views`` sub-sampled copies of each; memory rows x items x 4 bytes."""
    copies = [histories] + [sub_sampled(histories, options.training.visible, rng) for _ in range(views)]
    shown = Ragged.concatenate(copies)
    scores = score(teacher, shown) * np.float32(options.teacher_scale)
    features = _features(teacher, shown, options) if options.compares_features else None
    return DistillationTargets(shown, scores, Ragged.concatenate([histories] * len(copies)), features)


@torch.no_grad()
def _features(
    model: Recommender, histories: Ragged, options: DistillationOptions, batch_size: int = 512
) -> NDArray[np.float32]:
    """Return a model's features of all histories, shape [rows, positions, features]."""
    model.eval()
    length = max(1, int(histories.lengths.max(initial=0))) if options.positions else None
    with computing(model) as device:
        parts = [
            layer_features(model, padded_histories(histories.take(rows), model.num_items, length).to(device), options)
            for rows in np.array_split(np.arange(len(histories)), max(1, len(histories) // batch_size))
        ]
        return np.concatenate([part.cpu().numpy() for part in parts])
