"""Local training of students on clients' own histories, and the students' way from round to round."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedkd.errors import UserError
from fedkd.losses.multinomial import multinomial_cross_entropy
from fedkd.models.base import Recommender, multi_hot, score
from fedkd.privacy.randomness import noise_generator
from fedkd.ragged import Ragged, offsets
from fedkd.random_streams import stream
from fedkd.training.chunks import Loss, Model, Parameters, item_tables
from fedkd.training.cohort import ClientState, Cohort
from fedkd.training.dp_sgd import train_with_noise
from fedkd.training.engine import replicate, train
from fedkd.training.examples import Examples
from fedkd.training.options import LocalTraining, Target

OWN = "student."
"""Prefix of the arrays of a client's own student in its state."""

ROWS = ".rows"
"""Ending of the name of the rows of a table that are kept, where not all are."""


@dataclass(frozen=True)
class Lesson:
    """A lesson from others, such as a teacher's soft labels, that students learn beside their own histories.

    Every example is paired with one row of the lesson, drawn anew: column ``row`` beside ``shown`` and ``whole``.

    Attributes
    ----------
    rows : int
        How many there are, at least one.
    loss : callable
        Loss of an example and its row, as `fedkd.training.engine.train` takes it.
    """

    rows: int
    loss: Loss

    def paired(self, examples: Examples, streams: list[np.random.Generator]) -> Examples:
        """Return the examples of some clients with a row each, by the clients' own streams."""
        drawn = [rng.integers(self.rows, size=count) for rng, count in zip(streams, examples.lengths, strict=True)]
        return replace(examples, columns={**examples.columns, "row": Ragged.from_rows(drawn, np.int64)})


def train_locally(
    model: nn.Module,
    parameters: Parameters,
    cohort: Cohort,
    training: LocalTraining,
    round_number: int,
    lesson: Lesson | None = None,
) -> None:
    """Train every client's student on hard labels, in place: it sees part of a history and scores the whole.

    Under the cohort's noise every history is one example with one view, so that it counts once; steps, sampling and
    divisor are then those of the noise.

    Parameters
    ----------
    model : Recommender, or a Module around one for the loss of a lesson
        The computation.
    parameters : Parameters
        A student per client, changed in place.
    cohort : Cohort
        The clients and their histories.
    training : LocalTraining
        Number of epochs, step size and optimiser.
    round_number : int
        The round, which names the clients' random streams.
    lesson : Lesson, optional
        What they learn beside that; its loss is then the whole objective.

    Raises
    ------
    UserError
        Another optimiser than ``sgd`` under noise.
    """
    loss = history_loss(cohort.data.train.num_items) if lesson is None else lesson.loss
    streams = [stream(cohort.seed, "train", round_number, int(client)) for client in cohort.clients]
    if cohort.noise is not None:
        if training.optimiser != "sgd":
            raise UserError(
                f"students under noise take plain gradient steps: set the optimiser to sgd, not {training.optimiser}"
            )
        examples = unseeded_views(cohort, training.visible, training.target)
        examples = examples if lesson is None else lesson.paired(examples, streams)
        train_with_noise(model.eval(), parameters, examples, loss, training.learning_rate, cohort.noise)
        return
    examples = seeded_views(cohort, training.epochs, training.visible, streams, training.target)
    examples = examples if lesson is None else lesson.paired(examples, streams)
    once = training.model_copy(update={"epochs": 1})  # every epoch has a view of its own
    train(model.eval(), parameters, examples, loss, once, streams)


def seeded_views(
    cohort: Cohort, views: int, visible: float, streams: list[np.random.Generator], target: Target = "history"
) -> Examples:
    """Return ``views`` views of every training history: columns ``shown`` and ``whole``, both padded.

    A history is sub-sampled, and ``whole`` is all of it; or its beginning is shown, and ``whole`` is the next item.
    Users without a history have no view. All draws of a client come from its own stream.
    """
    lengths, owner = cohort.data.train.histories.lengths, cohort.owner
    repeated = np.tile(np.flatnonzero(lengths > 0), views)
    rows = repeated[np.argsort(owner[repeated], kind="stable")]
    per_client = np.bincount(owner[rows], weights=lengths[rows], minlength=len(cohort)).astype(np.int64)
    draws = [rng.random(count) for rng, count in zip(streams, per_client, strict=True)]
    return _views(cohort, rows, draws, visible, target)


def unseeded_views(cohort: Cohort, visible: float, target: Target = "history") -> Examples:
    """Return one view of every training history as `seeded_views` does, for training under noise.

    The content of one history changes no other example: each has its own secret draws, and a history without
    interactions stays as an example whose gradient is zero.
    """
    lengths = cohort.data.train.histories.lengths
    draws = [noise_generator().random(length) for length in lengths]
    return _views(cohort, np.arange(len(lengths)), draws, visible, target)


def _views(
    cohort: Cohort, rows: NDArray[np.int64], draws: list[NDArray[np.float64]], visible: float, target: Target
) -> Examples:
    """Return some users' histories, in the order of their clients, with what one draw an item shows of them."""
    whole, drawn = cohort.data.train.histories.take(rows), np.concatenate([*draws, np.zeros(0)])
    shown, wanted = (whole.where(drawn < visible), whole) if target == "history" else _beginnings(whole, drawn)
    indptr = offsets(np.bincount(cohort.owner[rows], minlength=len(cohort)))
    pad = cohort.data.train.num_items
    columns = {"shown": shown.padded(pad), "whole": wanted.padded(pad)}
    return Examples({name: Ragged(values, indptr) for name, values in columns.items()}, histories=tuple(columns))


def _beginnings(whole: Ragged, drawn: NDArray[np.float64]) -> tuple[Ragged, Ragged]:
    """Return a random beginning of every history, by the draw of its first item, and the next item alone.

    A history of one item has no next one.
    """
    first, last = np.zeros(len(whole)), np.maximum(whole.lengths - 1, 0)
    first[whole.lengths > 0] = drawn[whole.indptr[:-1][whole.lengths > 0]]
    cut = np.minimum(1 + np.floor(first * last), np.maximum(last, 1))
    inside, at = np.arange(len(drawn)) - whole.indptr[whole.row_index], cut[whole.row_index]
    return whole.where(inside < at), whole.where(inside == at)


def history_loss(num_items: int) -> Callable[[Model, Mapping[str, Tensor]], Tensor]:
    """Return the multinomial cross entropy of the whole history, given the shown part of it; one value an example."""

    def loss(student: Model, batch: Mapping[str, Tensor]) -> Tensor:
        return multinomial_cross_entropy(student(batch["shown"]), multi_hot(batch["whole"], num_items))

    return loss


def own_students(model: nn.Module, cohort: Cohort) -> Parameters:
    """Return every client's own student; clients that have none yet begin with ``model``.

    Where a client keeps only the rows in which its student differs from the one that everybody has, ``model`` is that.
    """
    parameters = replicate(model, len(cohort))
    for row, state in enumerate(cohort.states):
        for name, stacked in parameters.items():
            if OWN + name in state:
                kept = torch.from_numpy(np.array(state[OWN + name]))
                rows = state.get(OWN + name + ROWS)
                if rows is None:
                    stacked[row] = kept
                else:
                    stacked[row].movedim(item_tables(model)[name], 0)[torch.from_numpy(np.array(rows))] = kept
    return parameters


def keep_students(cohort: Cohort, parameters: Parameters, common: nn.Module | None = None) -> Cohort:
    """Return the cohort with these students in its clients' states, beside the other arrays there.

    Parameters
    ----------
    cohort : Cohort
        The clients.
    parameters : Parameters
        A student per client.
    common : Module, optional
        The student that everybody has anyway. Then a client keeps of its tables of items the rows that differ from it.
    """
    before: tuple[ClientState, ...] = cohort.states or ({},) * len(cohort)
    states = []
    for row, state in enumerate(before):
        kept = {name: array for name, array in state.items() if not name.startswith(OWN)}
        for name, stacked in parameters.items():
            kept |= _kept(name, stacked[row], common)
        states.append(kept)
    return cohort.with_states(tuple(states))


def _kept(name: str, own: Tensor, common: nn.Module | None) -> dict[str, NDArray[np.generic]]:
    """Return the arrays in which a client keeps one parameter of its student."""
    tables: dict[str, int] = getattr(common, "item_tables", {})
    if common is None or name not in tables:
        return {OWN + name: own.numpy().copy()}
    table, shared = (t.detach().movedim(tables[name], 0) for t in (own, common.get_parameter(name)))
    rows = (table != shared).reshape(len(table), -1).any(1).nonzero()[:, 0]
    return {OWN + name: table[rows].numpy(), OWN + name + ROWS: rows.numpy().astype(np.int32)}


def students_scores(model: Recommender, parameters: Parameters, cohort: Cohort) -> NDArray[np.float32]:
    """Return the scores of every user's history by the student of its client, shape [users, items]."""
    histories = cohort.data.history.histories
    out = np.empty((len(histories), model.num_items), np.float32)
    for row in range(len(cohort)):
        users = np.flatnonzero(cohort.owner == row)
        model.load_state_dict({name: stacked[row] for name, stacked in parameters.items()}, strict=False)
        out[users] = score(model, histories.take(users))
    return out


def has_students(cohort: Cohort) -> NDArray[np.bool_]:
    """Return whether every client has a student of its own already, shape [clients]."""
    return np.array([any(name.startswith(OWN) for name in state) for state in cohort.states], bool)


def own_or_common_scores(model: Recommender, common: Recommender, cohort: Cohort) -> NDArray[np.float32]:
    """Return the scores of every user's history, shape [users, items].

    Parameters
    ----------
    model : Recommender
        Of the shape of the clients' own students.
    common : Recommender
        The model that recommends to users whose client has no student yet.
    cohort : Cohort
        The clients.
    """
    having = has_students(cohort)
    own = cohort.take(np.flatnonzero(having))
    out, alone = np.empty((len(cohort.owner), model.num_items), np.float32), ~having[cohort.owner]
    out[~alone] = students_scores(model, own_students(model, own), own)
    out[alone] = score(common, cohort.data.history.histories.take(np.flatnonzero(alone)))
    return out


def weights_of(cohort: Cohort, power: float = 1.0) -> NDArray[np.float64]:
    """Return the weight of every client, shape [clients]: its histories' lengths to a power, added up.

    Under the cohort's noise it is 1, because no noise would hide the number of interactions.
    """
    if cohort.noise is not None:
        return np.ones(len(cohort))
    lengths = cohort.data.train.histories.lengths
    return np.bincount(cohort.owner, weights=lengths**power, minlength=len(cohort)).astype(np.float64)
