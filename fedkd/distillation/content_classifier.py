"""The content classifier: which categories an item has, from its title, its vectors and a teacher's knowledge of it.

It is trained beside the teacher on the catalogue, which everybody has, and labels items that nobody has labelled yet.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.evaluation.classification import f1_scores
from fedkd.losses.binary import binary_cross_entropy
from fedkd.models.base import Recommender, padded_histories
from fedkd.models.content import content_features
from fedkd.ragged import Ragged
from fedkd.training.adam import Adam
from fedkd.training.central import Rows
from fedkd.training.options import StepTraining

CLASSIFYING = StepTraining(steps=300, learning_rate=0.03, batch_size=256, weight_decay=1e-4)
"""The training of a classifier of some thousand items."""


@dataclass(frozen=True)
class ContentClassifier:
    """A logistic regression for every category.

    Attributes
    ----------
    categories : tuple of str
        The labels.
    layer : nn.Linear
        From features to logits.
    thresholds : ndarray of float32, shape [categories]
        Logits above them mean that an item has a category.
    """

    categories: tuple[str, ...]
    layer: nn.Linear
    thresholds: NDArray[np.float32]

    @torch.no_grad()
    def predict(self, features: Tensor) -> NDArray[np.bool_]:
        """Return which categories items have, shape [items, categories]."""
        return np.asarray(self.layer(features).numpy() > self.thresholds)


@torch.no_grad()
def classified_features(catalogue: Catalogue, words: int = 512, teacher: Recommender | None = None) -> Tensor:
    """Return what a classifier sees of items, shape [items, features]: all content but the categories.

    Parameters
    ----------
    catalogue : Catalogue
        The items.
    words : int
        Dimensions of hashed title words.
    teacher : Recommender, optional
        Its features of the history that holds one item alone are added, of length 1.
    """
    blank = replace(catalogue, categories=(), membership=np.zeros((0, 0), bool))
    content = content_features(blank, words)
    if teacher is None:
        return content
    single = padded_histories(Ragged.from_rows([[item] for item in range(len(catalogue))], np.int32), len(catalogue))
    return torch.cat([content, nn.functional.normalize(teacher.eval().hidden(single))], 1)


def fit_classifier(
    catalogue: Catalogue,
    features: Tensor,
    items: NDArray[np.int64],
    rng: np.random.Generator,
    training: StepTraining = CLASSIFYING,
) -> ContentClassifier:
    """Return the classifier that some labelled items teach; thresholds are those of best F1 on these items.

    Parameters
    ----------
    catalogue : Catalogue
        Its categories are the labels.
    features : Tensor, shape [items, features]
        See `classified_features`.
    items : ndarray of int64
        Positions of the labelled items.
    rng : numpy.random.Generator
        Generator of first weights and batches.
    training : StepTraining
        Length and speed.
    """
    if not catalogue.categories or not len(items):
        raise UserError("a classifier needs items with categories; give the data an item file that has them")
    labels = torch.from_numpy(catalogue.membership.astype(np.float32))
    layer = nn.Linear(features.shape[1], len(catalogue.categories), device="meta").to_empty(device="cpu")
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    adam = Adam(layer.parameters(), training.learning_rate, training.weight_decay)
    for _ in range(training.steps):
        rows: Rows = rng.choice(items, min(training.batch_size, len(items)), replace=False)
        adam.step(binary_cross_entropy(layer(features[rows]), labels[rows]).sum(-1).mean())
    logits = layer(features[items]).detach().numpy()
    return ContentClassifier(catalogue.categories, layer, _thresholds(logits, catalogue.membership[items]))


def classification_quality(
    classifier: ContentClassifier, catalogue: Catalogue, features: Tensor, items: NDArray[np.int64]
) -> dict[str, float]:
    """Return ``micro-f1`` and ``macro-f1`` on some items, which should not be those of the training."""
    return f1_scores(classifier.predict(features[items]), catalogue.membership[items])


def _thresholds(logits: NDArray[np.float32], true: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return for every label the logit above which its F1 is best, shape [labels]; the highest one without examples.

    It lies in the middle between the last item above it and the first one below.
    """
    order = np.argsort(-logits, axis=0, kind="stable")
    found, falling = (np.take_along_axis(part, order, 0) for part in (true, logits))
    quality = 2 * found.cumsum(0) / (np.arange(1, len(logits) + 1)[:, None] + true.sum(0))
    last = quality.argmax(0)
    above, below = (falling[place, np.arange(len(last))] for place in (last, np.minimum(last + 1, len(logits) - 1)))
    return np.asarray(np.where(true.any(0), (above + below) / 2, falling[0]), np.float32)
