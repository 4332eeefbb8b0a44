"""A recommender in two parts: a small extractor of features, and a large network on top of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedkd.models.arrays import load_arrays, model_arrays
from fedkd.models.base import Recommender


class SplitRecommender(Recommender):
    """A large network on the features of a student, which it leaves as they are.

    He, Annavaram & Avestimehr, Group knowledge transfer, NeurIPS 2020: the extractor is on the edge, the rest on the
    server.

    Parameters
    ----------
    extractor : Recommender
        Its ``hidden`` features are the input; they are not trained with the rest.
    width : int
        Units of each of the two hidden layers.
    """

    def __init__(self, extractor: Recommender, width: int) -> None:
        super().__init__(extractor.num_items)
        self.extractor = extractor.eval()
        features = feature_width(extractor)
        inner = [nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
        self.upper = nn.Sequential(*inner, nn.Linear(width, extractor.num_items))

    def hidden(self, history: Tensor) -> Tensor:
        """Return the last layer before the scores, shape [batch, width]."""
        found: Tensor = self.upper[:-1](self._features(history))
        return found

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]."""
        return self.of_features(self._features(history))

    def of_features(self, features: Tensor) -> Tensor:
        """Return the scores of features alone, shape [batch, items]."""
        scores: Tensor = self.upper(features)
        return scores

    def upper_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the large network without the extractor."""
        return {name: a for name, a in model_arrays(self).items() if name.startswith("upper.")}

    def with_upper(self, arrays: Mapping[str, NDArray[Any]]) -> "SplitRecommender":
        """Return this model with another large network."""
        return load_arrays(self, {**model_arrays(self), **arrays}).eval()

    def _features(self, history: Tensor) -> Tensor:
        with torch.no_grad():
            return self.extractor.hidden(history)


class Speaking(nn.Module):
    """A student that says its features and its scores of some items side by side.

    Parameters
    ----------
    student : Recommender
        The student.
    panel : ndarray of int, shape [panel]
        The items.
    """

    def __init__(self, student: Recommender, panel: NDArray[np.int32]) -> None:
        super().__init__()
        self.student, self.panel = student, torch.from_numpy(panel.astype(np.int64))

    def forward(self, history: Tensor) -> Tensor:
        """Return features and scores, shape [batch, features + panel]."""
        panel = self.panel.to(history.device)
        return torch.cat([self.student.hidden(history), self.student(history)[..., panel]], -1)


def feature_width(model: Recommender) -> int:
    """Return how many features a model has."""
    with torch.no_grad():
        return model.hidden(torch.zeros(1, 1, dtype=torch.int64)).shape[-1]
