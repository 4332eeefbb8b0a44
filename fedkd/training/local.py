"""What clients do on their own data in several protocols: train, and keep a student between rounds."""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from fedkd.models.base import Recommender, multi_hot, score
from fedkd.options import Options
from fedkd.privacy.randomness import noise_generator
from fedkd.ragged import Ragged, offsets
from fedkd.random_streams import stream
from fedkd.training.chunks import Model, Parameters
from fedkd.training.cohort import ClientState, Cohort
from fedkd.training.dp_sgd import train_with_noise
from fedkd.training.engine import replicate, train
from fedkd.training.examples import Examples
from fedkd.training.options import Training

OWN = "student."
"""Prefix of the arrays of a client's own student among what he keeps."""


class LocalTraining(Options):
    """How a client trains a student on his own histories.

    Attributes
    ----------
    epochs : int
        Passes over the histories in a round.
    learning_rate : float
        Step size.
    batch_size : int
        Histories in a step; one user has one.
    optimiser : str
        ``adam`` or ``sgd``.
    visible : float
        Probability that an item of a history is shown to the student, which then scores the whole history.
    """

    epochs: int = Field(5, ge=1)
    learning_rate: float = Field(0.003, gt=0)
    batch_size: int = Field(32, ge=1)
    optimiser: Literal["adam", "sgd"] = "adam"
    visible: float = Field(0.5, gt=0, le=1)


def train_privately(
    model: Recommender, parameters: Parameters, cohort: Cohort, how: LocalTraining, round_number: int
) -> None:
    """Train every client's student on hard labels, in place: see a part of a history, score the whole of it.

    Under the cohort's noise a history is one example, seen in one way, or it would count twice; steps, sampling and
    divisor are then those of the noise.

    Parameters
    ----------
    model : Recommender
        Gives the computation.
    parameters : Parameters
        A student per client, changed in place.
    cohort : Cohort
        The clients and their histories.
    how : LocalTraining
        Length and speed.
    round_number : int
        Names the clients' random streams.
    """
    loss, training = history_loss(model.num_items), Training(how.learning_rate, 1, how.batch_size, how.optimiser)
    if cohort.noise is not None:
        examples = shown_in_secret(cohort, how.visible)
        train_with_noise(model.eval(), parameters, examples, loss, training, cohort.noise)
        return
    streams = [stream(cohort.seed, "train", round_number, int(client)) for client in cohort.clients]
    train(model.eval(), parameters, partly_shown(cohort, how.epochs, how.visible, streams), loss, training, streams)


def partly_shown(cohort: Cohort, views: int, visible: float, streams: list[np.random.Generator]) -> Examples:
    """Return ``views`` sub-sampled views of every training history: columns ``shown`` and ``whole``, both padded.

    Users without a history have no view. All draws of a client come from his own stream.
    """
    lengths, owner = cohort.data.train.histories.lengths, cohort.owner
    repeated = np.tile(np.flatnonzero(lengths > 0), views)
    rows = repeated[np.argsort(owner[repeated], kind="stable")]
    per_client = np.bincount(owner[rows], weights=lengths[rows], minlength=len(cohort)).astype(np.int64)
    draws = [rng.random(count) for rng, count in zip(streams, per_client, strict=True)]
    return _views(cohort, rows, draws, visible)


def shown_in_secret(cohort: Cohort, visible: float) -> Examples:
    """Return one sub-sampled view of every training history, for training under noise.

    What is in one history moves no other example: each is shown by draws of its own, which no seed gives away, and a
    history without interactions keeps its place, as an example whose gradient is zero.
    """
    lengths = cohort.data.train.histories.lengths
    draws = [noise_generator().random(length) for length in lengths]
    return _views(cohort, np.arange(len(lengths)), draws, visible)


def _views(cohort: Cohort, rows: NDArray[np.int64], draws: list[NDArray[np.float64]], visible: float) -> Examples:
    """Return some users' histories, in the order of their clients, with what one draw an item shows of them."""
    whole = cohort.data.train.histories.take(rows)
    keep = np.concatenate([*draws, np.zeros(0)]) < visible
    indptr = offsets(np.bincount(cohort.owner[rows], minlength=len(cohort)))
    pad = cohort.data.train.num_items
    columns = {"shown": whole.where(keep).padded(pad), "whole": whole.padded(pad)}
    return Examples({name: Ragged(values, indptr) for name, values in columns.items()}, histories=tuple(columns))


def history_loss(num_items: int) -> Callable[[Model, Mapping[str, Tensor]], Tensor]:
    """Return the multinomial cross entropy of the whole history, given what is shown of it; one value an example."""

    def loss(student: Model, batch: Mapping[str, Tensor]) -> Tensor:
        targets = multi_hot(batch["whole"], num_items)
        likely = torch.log_softmax(student(batch["shown"]), -1)
        return -(targets * likely).sum(-1) / targets.sum(-1).clamp(min=1.0)

    return loss


def own_students(model: nn.Module, cohort: Cohort) -> Parameters:
    """Return every client's own student; clients that have none yet begin with ``model``."""
    parameters = replicate(model, len(cohort))
    for row, state in enumerate(cohort.states):
        for name in parameters:
            if OWN + name in state:
                parameters[name][row] = torch.from_numpy(np.array(state[OWN + name]))
    return parameters


def keep_students(cohort: Cohort, parameters: Parameters) -> Cohort:
    """Return the cohort whose clients keep these students beside whatever else they keep."""
    arrays = {OWN + name: stacked.numpy() for name, stacked in parameters.items()}
    before: tuple[ClientState, ...] = cohort.states or ({},) * len(cohort)
    states = (
        {**state, **{name: array[row].copy() for name, array in arrays.items()}} for row, state in enumerate(before)
    )
    return cohort.with_states(tuple(states))


def own_scores(model: Recommender, cohort: Cohort) -> NDArray[np.float32]:
    """Return the scores of every user's history by his client's own student, shape [users, items]."""
    parameters = own_students(model, cohort)
    histories = cohort.data.history.histories
    out = np.empty((len(histories), model.num_items), np.float32)
    for row in range(len(cohort)):
        users = np.flatnonzero(cohort.owner == row)
        model.load_state_dict({name: stacked[row] for name, stacked in parameters.items()}, strict=False)
        out[users] = score(model, histories.take(users))
    return out


def weights_of(cohort: Cohort, power: float = 1.0) -> NDArray[np.float64]:
    """Return what every client weighs, shape [clients]: its histories' lengths to a power, added up.

    Under the cohort's noise it is 1, as no noise would hide how many interactions there are.
    """
    if cohort.noise is not None:
        return np.ones(len(cohort))
    lengths = cohort.data.train.histories.lengths
    return np.bincount(cohort.owner, weights=lengths**power, minlength=len(cohort)).astype(np.float64)
