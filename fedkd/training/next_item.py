"""The next item of a history as the hard label: a softmax over the catalogue, or gBCE with sampled negatives."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedkd.losses.binary import generalised_binary_cross_entropy
from fedkd.losses.multinomial import item_cross_entropy
from fedkd.models.base import Recommender, padded_histories
from fedkd.models.device import beside
from fedkd.models.sequential import SequentialRecommender
from fedkd.ragged import Ragged
from fedkd.training.options import HardLabels


def next_item_losses(model: Recommender, whole: Ragged, labels: HardLabels, rng: np.random.Generator) -> Tensor:
    """Return the loss of every next item that is predicted, shape [predictions].

    Parameters
    ----------
    model : Recommender
        One with a state at every position predicts the next item at each of them, any other at one random position of
        every history.
    whole : Ragged of int
        Histories, oldest item first; those of fewer than two items have nothing to predict.
    labels : HardLabels
        The loss.
    rng : numpy.random.Generator
        Generator of positions and negatives.

    Returns
    -------
    Tensor, shape [predictions]
        A single 0 where there is nothing to predict.
    """
    whole = whole.take(np.flatnonzero(whole.lengths > 1))
    if not len(whole):
        return beside(model, torch.zeros(1)) * sum(parameter.sum() for parameter in model.parameters())
    predict = _every_position if isinstance(model, SequentialRecommender) else _random_position
    scores, items = predict(model, whole, rng)  # type: ignore[arg-type]
    if labels.negatives == 0:
        return item_cross_entropy(scores, items)
    drawn = beside(model, torch.from_numpy(rng.integers(0, model.num_items, (len(items), labels.negatives))))
    positive, negatives = scores.gather(1, items.unsqueeze(1)).squeeze(1), scores.gather(1, drawn)
    return generalised_binary_cross_entropy(positive, negatives, model.num_items, labels.calibration)


def _every_position(model: SequentialRecommender, whole: Ragged, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return the scores at every position of all histories, and the items that come next there."""
    del rng
    history = beside(model, padded_histories(whole, model.num_items))
    states = model.every_state(history[:, :-1])
    shown, following = (part[:, -states.shape[1] :] for part in (history[:, :-1], history[:, 1:]))
    real = shown < model.num_items
    return model.head(states[real]), following[real]


def _random_position(model: Recommender, whole: Ragged, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return the scores after a random part of every history, and the items that come next."""
    count = rng.integers(1, whole.lengths)
    inside: NDArray[np.int64] = np.arange(len(whole.values)) - whole.indptr[whole.row_index]
    shown = whole.where(inside < np.repeat(count, whole.lengths))
    following = whole.values[whole.indptr[:-1] + count].astype(np.int64)
    inputs, wanted = padded_histories(shown, model.num_items), torch.from_numpy(following)
    return model(beside(model, inputs)), beside(model, wanted)
