"""Central training on hard labels, in which a model sees part of a history and predicts the whole."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from fedkd.losses.multinomial import multinomial_cross_entropy
from fedkd.models.base import Recommender, multi_hot, padded_histories
from fedkd.models.device import beside
from fedkd.models.item_table import forget_own_rows
from fedkd.ragged import Ragged
from fedkd.training.central import Rows, train
from fedkd.training.next_item import next_item_losses
from fedkd.training.options import AdamTraining, CentralTraining

HardLabelLoss = Callable[[Tensor, Tensor], Tensor]
"""Scores and targets, shape [batch, items] each -> one value per history, shape [batch]."""


def sub_sampled(histories: Ragged, visible: float, rng: np.random.Generator) -> Ragged:
    """Return histories of which every item is kept with probability ``visible``."""
    if visible >= 1:
        return histories
    return histories.where(rng.random(len(histories.values)) < visible)


def nonempty(histories: Ragged) -> Ragged:
    """Return the histories that are not empty."""
    return histories.take(np.flatnonzero(histories.lengths > 0))


def untouched(histories: Ragged, num_items: int) -> Tensor:
    """Return a mark for every item that occurs in no history, shape [items]."""
    return torch.from_numpy(np.bincount(histories.values, minlength=num_items) == 0)


def history_losses(
    model: Recommender,
    whole: Ragged,
    visible: float,
    rng: np.random.Generator,
    loss: HardLabelLoss = multinomial_cross_entropy,
) -> Tensor:
    """Return the loss of every history, shape [histories], of which a part is shown to the model."""
    parts = (sub_sampled(whole, visible, rng), whole)
    shown, wanted = (beside(model, padded_histories(part, model.num_items)) for part in parts)
    return loss(model(shown), multi_hot(wanted, model.num_items))


def hard_label_loss(
    model: Recommender,
    whole: Ragged,
    training: AdamTraining,
    rng: np.random.Generator,
    loss: HardLabelLoss = multinomial_cross_entropy,
) -> Tensor:
    """Return the mean loss of what a training predicts: of histories, or of all their next items."""
    if training.labels.target == "history":
        return history_losses(model, whole, training.visible, rng, loss).mean()
    return next_item_losses(model, whole, training.labels, rng).mean()


def weighted_loss(model: Recommender, whole: Ragged, visible: float, rng: np.random.Generator) -> Tensor:
    """Return the mean loss of histories of which a part is shown, each weighted by the root of its length.

    The root lies between counting users and counting interactions equally; the same weight helps EASE.
    """
    weight = beside(model, torch.from_numpy(np.sqrt(whole.lengths).astype(np.float32)))
    return (weight * history_losses(model, whole, visible, rng)).sum() / weight.sum()


def train_centrally(
    model: Recommender,
    histories: Ragged,
    training: CentralTraining,
    rng: np.random.Generator,
    correction: Mapping[str, Tensor] | None = None,
) -> Recommender:
    """Train a model in place on hard labels, and return it.

    Users are weighted by the root of their history's length, next items all alike.

    A correction of its parameters, by name, is added to the negative gradient of every step.
    """
    histories = nonempty(histories)

    def loss_of(rows: Rows) -> Tensor:
        loss = central_loss(model, histories.take(rows), training, rng)
        terms = [(beside(model, correction[n]) * p).sum() for n, p in model.named_parameters()] if correction else []
        return loss - sum(terms)

    train(model, loss_of, len(histories), training, rng)
    if correction is None:  # a correction stands for histories that are elsewhere
        forget_own_rows(model, untouched(histories, model.num_items))
    return model


def central_loss(model: Recommender, whole: Ragged, training: AdamTraining, rng: np.random.Generator) -> Tensor:
    """Return the loss that `train_centrally` minimises."""
    if training.labels.target == "history":
        return weighted_loss(model, whole, training.visible, rng)
    return hard_label_loss(model, whole, training, rng)


def mean_gradient(
    model: Recommender, histories: Ragged, visible: float, rng: np.random.Generator, views: int = 1
) -> dict[str, Tensor]:
    """Return the gradient of the weighted loss of all histories, as the mean over draws of the shown items."""
    named = dict(model.named_parameters())
    losses = [weighted_loss(model, nonempty(histories), visible, rng) for _ in range(views)]
    gradients = torch.autograd.grad(torch.stack(losses).mean(), list(named.values()))
    return dict(zip(named, gradients, strict=True))
