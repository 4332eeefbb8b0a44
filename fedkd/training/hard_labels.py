"""Training in one place: on the public users before the first round, or on everyone for comparison."""

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from fedkd.distillation.pipeline import sub_sampled
from fedkd.models.base import Recommender, multi_hot, padded_histories
from fedkd.options import Options
from fedkd.ragged import Ragged
from fedkd.training.central import Rows, TrainingOptions, Watch, train


class CentralTraining(Options):
    """How a model is trained by passes over histories that stand in one place.

    Attributes
    ----------
    epochs : int
        Passes over the histories; 0 for none.
    learning_rate : float
        Of Adam.
    batch_size : int
        Histories in a step.
    visible : float
        Probability that an item of a history is shown to the model, which then scores the whole history.
    weight_decay : float
        L2 penalty, as Adam adds it to the gradient.
    """

    epochs: int = Field(60, ge=0)
    learning_rate: float = Field(0.003, gt=0)
    batch_size: int = Field(32, ge=1)
    visible: float = Field(0.5, gt=0, le=1)
    weight_decay: float = Field(2e-4, ge=0)


def train_centrally(
    model: Recommender,
    histories: Ragged,
    how: CentralTraining,
    rng: np.random.Generator,
    correction: Mapping[str, Tensor] | None = None,
) -> Recommender:
    """Train a model in place on hard labels, users weighted by the root of their history's length, and return it.

    A correction of its parameters, by name, is added to the negative gradient of every step.
    """
    histories = nonempty(histories)
    steps = how.epochs * -(-len(histories) // how.batch_size)
    options = TrainingOptions(
        steps=steps, batch_size=how.batch_size, learning_rate=how.learning_rate, weight_decay=how.weight_decay
    )

    def loss_of(rows: Rows) -> Tensor:
        loss = weighted_loss(model, histories.take(rows), how.visible, rng)
        terms = [(correction[name] * value).sum() for name, value in model.named_parameters()] if correction else []
        return loss - sum(terms)

    train(model, loss_of, len(histories), options, rng, Watch(every=max(1, steps)), "central")
    return model.eval()


def mean_gradient(
    model: Recommender, histories: Ragged, visible: float, rng: np.random.Generator, views: int = 1
) -> dict[str, Tensor]:
    """Return the gradient of the weighted loss of all histories, the mean over so many draws of what is shown."""
    named = dict(model.named_parameters())
    losses = [weighted_loss(model, nonempty(histories), visible, rng) for _ in range(views)]
    gradients = torch.autograd.grad(torch.stack(losses).mean(), list(named.values()))
    return dict(zip(named, gradients, strict=True))


def nonempty(histories: Ragged) -> Ragged:
    """Return the histories that hold anything."""
    return histories.take(np.flatnonzero(histories.lengths > 0))


def weighted_loss(model: Recommender, whole: Ragged, visible: float, rng: np.random.Generator) -> Tensor:
    """Return the mean cross entropy of histories of which a part is shown, each weighted by the root of its length.

    The root lies between counting users and counting interactions equally; the same weight helps EASE.
    """
    shown = padded_histories(sub_sampled(whole, visible, rng), model.num_items)
    targets = multi_hot(padded_histories(whole, model.num_items), model.num_items)
    weight = torch.from_numpy(np.sqrt(whole.lengths).astype(np.float32))
    each = -(targets * torch.log_softmax(model(shown), -1)).sum(-1) / targets.sum(-1)
    return (weight * each).sum() / weight.sum()
