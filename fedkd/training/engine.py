"""Local training of all students of a cohort as one batched computation.

Students do not share parameters, so the gradient of the *sum* of their losses holds every student's own gradient: one
forward and one backward pass over parameters of shape ``[clients, ...]`` replaces a loop over clients.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap

from fedkd.models.device import computing, place_of
from fedkd.training.chunks import CHUNK_BYTES, Loss, Parameters, borrow, chunks, give_back, localise
from fedkd.training.examples import Batch, Examples, batches
from fedkd.training.optimiser import Optimiser
from fedkd.training.options import CohortTraining


def replicate(model: nn.Module, clients: int) -> Parameters:
    """Return ``clients`` copies of a model's parameters, each of shape [clients, ...]."""
    return {name: p.detach().expand(clients, *p.shape).clone() for name, p in model.named_parameters()}


def predict(model: nn.Module, parameters: Parameters, *inputs: Tensor, shared: bool = False) -> Tensor:
    """Return every student's output.

    Parameters
    ----------
    model : nn.Module
        Gives the computation, not the numbers.
    parameters : Parameters
        One student per client.
    *inputs : Tensor, shape [clients, ...]
        Input of each student; without the first axis where ``shared``.
    shared : bool
        Whether all students are asked the same.

    Returns
    -------
    Tensor, shape [clients, ...]
    """
    with torch.no_grad(), computing(model) as device:
        call = vmap(lambda own, *x: functional_call(model, own, x), (0, *[None if shared else 0 for _ in inputs]))
        own = {name: stacked.to(device) for name, stacked in parameters.items()}
        scores: Tensor = call(own, *(given.to(device) for given in inputs))
    return scores.cpu()


def train(
    model: nn.Module,
    parameters: Parameters,
    examples: Examples,
    loss: Loss,
    training: CohortTraining,
    streams: Sequence[np.random.Generator],
    chunk_bytes: int = CHUNK_BYTES,
) -> NDArray[np.float64]:
    """Train every client's student on its own examples, in place.

    Each result is the one that a loop over clients would give, whoever shares the computation: all random draws come
    from the client's own stream, and a client takes no step beyond its own.

    Parameters
    ----------
    model : nn.Module
        Gives the computation, not the numbers. A model whose ``Examples.items`` are named declares ``num_items`` and
        ``item_tables`` (see ``Recommender``). It must be free of random numbers (no dropout).
    parameters : Parameters
        Changed in place. Parameters of the model that are missing here stay as they are.
    examples : Examples
        One row a client. Clients without examples keep their parameters.
    loss : callable
        ``loss(student, batch)`` gives the loss of each example of one student; it is called under ``torch.func.vmap``.
        Where the model has a method ``stacked(parameters, *inputs)`` that computes all students at once, it is called
        once with everything stacked, shapes [clients, batch, ...], and must reduce over the last axes only.
    training : CohortTraining
        Optimiser, step size, epochs, batch size.
    streams : sequence of Generator
        ``stream(seed, purpose, round, client id)`` of every client.
    chunk_bytes : int
        Memory for the clients that are computed together.

    Returns
    -------
    ndarray of float64, shape [clients, epochs]
        Mean loss over each epoch, every batch measured before its step; NaN for clients without examples.
    """
    losses = np.full((len(examples), training.epochs), np.nan)
    with computing(model):
        for rows in chunks(model, examples, loss, training, chunk_bytes):
            chosen = [streams[row] for row in rows]
            losses[rows] = _train_chunk(model, parameters, rows, examples.take(rows), loss, training, chosen)
    return losses


def _train_chunk(
    model: nn.Module,
    parameters: Parameters,
    rows: NDArray[np.int64],
    examples: Examples,
    loss: Loss,
    training: CohortTraining,
    streams: Sequence[np.random.Generator],
) -> NDArray[np.float64]:
    model, examples, touched = localise(model, examples)
    place = place_of(model)
    own = {name: stacked.to(place) for name, stacked in borrow(model, parameters, rows, touched).items()}
    optimise = Optimiser(own, training)
    losses = np.where(examples.lengths[:, None] > 0, np.zeros(training.epochs), np.nan)
    for batch in batches(examples, training.epochs, training.batch_size, streams):
        mean = _step(model, own, batch.at(place), loss, optimise)
        losses[np.arange(len(mean)), batch.epoch] += mean * batch.share
    give_back(model, parameters, rows, touched, {name: stacked.cpu() for name, stacked in own.items()})
    return losses


def _step(model: nn.Module, own: Parameters, batch: Batch, loss: Loss, optimise: Optimiser) -> NDArray[np.float32]:
    active = len(batch.weight)
    leaves = {name: tensor[:active].detach().requires_grad_() for name, tensor in own.items()}
    each = losses_of(model, leaves, batch.columns, loss)
    mean = (each * batch.weight).sum(1)
    optimise(active, torch.autograd.grad(mean.sum(), list(leaves.values())))
    return mean.detach().cpu().numpy()


def losses_of(model: nn.Module, own: Parameters, columns: Mapping[str, Tensor], loss: Loss) -> Tensor:
    """Return the loss of every example of every client, shape [clients, width]."""
    stacked = getattr(model, "stacked", None)
    if stacked is not None:
        return loss(lambda *inputs: stacked(own, *inputs), columns)
    each: Tensor = vmap(lambda p, b: loss(lambda *inputs: functional_call(model, p, inputs), b))(own, columns)
    return each
