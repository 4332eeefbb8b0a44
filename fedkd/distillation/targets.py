"""Distillation targets: soft labels and features that a teacher gives for histories."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fedkd.distillation.options import DistillationOptions
from fedkd.models.base import Recommender, padded_histories, score
from fedkd.ragged import Ragged
from fedkd.training.hard_labels import sub_sampled


@dataclass(frozen=True)
class DistillationTargets:
    """Histories, and a teacher's outputs for them; pooled answers of clients are targets too.

    Attributes
    ----------
    histories : Ragged of int32
        The student's input.
    scores : ndarray of float32, shape [histories, items]
        The teacher's logits.
    labels : Ragged of int32
        Hard labels: the items that the user is known to have chosen.
    features : ndarray of float32, shape [histories, 1, features], optional
        The teacher's features of the chosen layer.
    """

    histories: Ragged
    scores: NDArray[np.float32]
    labels: Ragged
    features: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.histories)


def teacher_targets(
    teacher: Recommender, histories: Ragged, options: DistillationOptions, views: int, rng: np.random.Generator
) -> DistillationTargets:
    """Return the targets for histories and ``views`` sub-sampled copies of each; memory rows x items x 4 bytes."""
    copies = [histories] + [sub_sampled(histories, options.training.visible, rng) for _ in range(views)]
    shown = Ragged.concatenate(copies)
    scores = score(teacher, shown) * np.float32(options.teacher_scale)
    features = _features(teacher, shown, options.layer) if options.weights.feature else None
    return DistillationTargets(shown, scores, Ragged.concatenate([histories] * len(copies)), features)


@torch.no_grad()
def _features(model: Recommender, histories: Ragged, layer: int | None, batch_size: int = 512) -> NDArray[np.float32]:
    """Return a model's features of all histories, shape [rows, 1, features]."""
    model.eval()
    parts = [
        model.features(padded_histories(histories.take(rows), model.num_items), layer).numpy()
        for rows in np.array_split(np.arange(len(histories)), max(1, len(histories) // batch_size))
    ]
    return np.concatenate(parts)
