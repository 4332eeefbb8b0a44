"""PATE's Confident-GNMax, in which silos vote on public users' next items and clear votes teach the student.

Papernot et al., Scalable private learning with PATE, ICLR 2018. The teachers are recommenders that silos train on their
own users alone, the queries are histories of public users, and a class is an item of a public panel. A silo gives each
query one vote, for its best item that the query does not have yet, and the server needs only the sum of the votes. A
query is answered where the sum is confident. Answers are labels, from which the student learns in addition to the
public histories.

*What noise protects.* In the original an aggregator that sees all votes adds noise twice, to the maximum for the check
and to the votes for the argmax, and pays for each query apart: where one silo votes differently, ``1 / (2 sigma1^2)``
for the check of every query and ``1 / sigma2^2`` more for an answered one, in units of the order of the Renyi
divergence. Here the noise is on the sums around the protocol, so that nobody need see votes without it: all votes of a
round are one Gaussian release of norm at most ``sqrt(queries)``, since a silo moves each query by one vote. Check and
argmax only look at what was released and cost nothing, however many queries they answer, and the server may use all of
a histogram that it has paid for. The price: a query costs ``1 / sigma^2`` answered or not, where the original spends
less on those that it does not answer; check and argmax see the same noise, so what lifts a query over the threshold
also labels it; and costs never fall because silos agree.

*Whom it protects.* The unit is the client: a whole silo with everyone in it, whose presence changes the sums by at most
``sqrt(queries)``. A single user of a silo is protected too. Adding the user can change every vote of the silo, which
moves each query by ``sqrt(2)``; that is bounded by replacing the silo, not by adding or removing it.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from scipy.special import ndtri
from torch import Tensor

from fedkd.data.interactions import Interactions
from fedkd.distillation.closed_forms import Gram, ease_teacher
from fedkd.errors import UserError
from fedkd.losses.multinomial import multinomial_cross_entropy
from fedkd.messages.types import Answers, Asks, Estimates, Kind, Quantiser, Reference, Spec
from fedkd.models.base import Recommender, multi_hot, padded_histories, score
from fedkd.models.device import beside
from fedkd.protocols.base import Metrics, Setup, State
from fedkd.protocols.server_optimiser import named, part, student_arrays
from fedkd.protocols.trained import TrainedStudent, tunable_training
from fedkd.ragged import Ragged
from fedkd.random_streams import stream
from fedkd.training.central import Rows, train
from fedkd.training.cohort import Cohort
from fedkd.training.hard_labels import central_loss, nonempty
from fedkd.training.options import CentralTraining

LABEL = "label."
"""Prefix of the labels of all rounds: round, query, item, and the item's share of the confident votes."""

HIDDEN = -1e4
"""Number added to the scores of items that a query has, for which nobody could vote."""

FALSE_ANSWERS = 0.01
"""Share of the queries that noise alone may answer, which bounds the share of wrong labels from noise."""

Counts = NDArray[np.floating] | NDArray[np.integer]


class GNMax(TrainedStudent):
    """Parameters of Confident-GNMax.

    Attributes
    ----------
    queries : int
        Histories that silos vote on in a round. The first are those of public users as they are, the others random
        halves of these; fewer queries make votes clearer under noise.
    panel : int
        Items that can be voted for, the most popular ones with the public users; 0 for the whole catalogue.
    regularisation : float
        Ridge of a silo's own recommender, EASE on its users.
    agreement : float
        Share of the silos that must agree on an item; under noise it is at least the share that noise alone reaches.
    label_weight : float
        Weight of the labels' cross entropy beside that of the public histories.
    """

    tunable: ClassVar[Mapping[str, tuple[float, ...]]] = tunable_training("central")
    name: Literal["gnmax"] = "gnmax"
    queries: int = Field(256, ge=1)
    panel: int = Field(0, ge=0)
    regularisation: float = Field(50.0, gt=0)
    agreement: float = Field(0.2, gt=0, le=1)
    label_weight: float = Field(0.1, gt=0)
    central: CentralTraining = CentralTraining()

    def ballot(self) -> tuple[int, int]:
        """Return a vote for every query."""
        return self.queries, self.panel

    def begin(self, setup: Setup) -> State:
        """Train the student on the public users alone.

        Raises
        ------
        UserError
            There are no public users, whose histories are the queries.
        """
        if not len(nonempty(setup.public.histories)):
            raise UserError(
                "algorithm gnmax needs public users, whose histories the silos vote on, and there are none; "
                "set partition.public-fraction above 0, for example 0.1"
            )
        kinds = {"round": np.int64, "query": np.int64, "item": np.int64, "share": np.float32}
        state = State(setup, named(LABEL, {name: np.zeros(0, kind) for name, kind in kinds.items()}))
        return self._trained(state, stream(setup.seed, "gnmax"))

    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        """Send the queries and the panel."""
        del rng
        sizes = np.array([state.setup.num_clients], np.int64)
        return Asks(round_number, clients, {"sizes": sizes}, reference=self._reference(state.setup, round_number))

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        """Return the votes of every query, as whole numbers whose sum never wraps around."""
        assert asks.reference is not None
        shape = (len(asks.reference.histories), len(asks.reference.panel))
        grid = Quantiser(1.0, 0, 1, int(asks.shared["sizes"][0]).bit_length(), signed=False)
        return {"votes": Spec(Kind.VOTES, shape, quantiser=grid, clip=float(np.sqrt(shape[0])))}

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Fit every silo's own recommender, and vote."""
        assert asks.reference is not None
        shape = (len(cohort), len(asks.reference.histories), len(asks.reference.panel))
        cast = np.zeros(shape, np.int8)
        for row in range(len(cohort)):
            users = cohort.data.train.take(np.flatnonzero(cohort.owner == row))
            cast[row] = votes(silo_model(users, self.regularisation), asks.reference)
        return cohort, Answers(asks.round, cohort.clients, {"votes": cast}, asks.reference.fingerprint)

    def pool(self, state: State, estimates: Estimates) -> State:
        """Add up the votes."""
        votes = estimates.values["votes"]
        total = state.arrays.get("votes", 0) + np.asarray(votes.value)
        return state.with_arrays(votes=total, std=np.array(votes.std), round=np.array(estimates.round))

    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        """Take the confident answers as labels, and train the student anew on the labels of all rounds."""
        if "votes" not in state.arrays:
            return state, {"answered": 0}
        arrays = {name: array for name, array in state.arrays.items() if name not in ("votes", "std", "round")}
        counts, number = state.arrays["votes"], int(state.arrays["round"])
        shares = confident(counts, *self._thresholds(state.setup, counts.shape[1], float(state.arrays["std"])))
        query, column = shares.nonzero()
        item = self._reference(state.setup, number).panel[column].astype(np.int64)
        new = {"round": np.full(len(query), number), "query": query, "item": item, "share": shares[query, column]}
        labels = {name: np.concatenate([before, new[name]]) for name, before in part(state, LABEL).items()}
        state = State(state.setup, arrays).with_arrays(**named(LABEL, labels))
        return self._trained(state, rng), {"answered": len(np.unique(query))}

    def _thresholds(self, setup: Setup, panel: int, std: float) -> tuple[float, float]:
        """Return the votes needed to answer a query, and those that noise alone reaches, both from public numbers."""
        silos = setup.participants or setup.num_clients
        floor = float(-std * ndtri(FALSE_ANSWERS / panel))
        return max(self.agreement * silos, floor), floor

    def _reference(self, setup: Setup, round_number: int) -> Reference:
        rng = stream(setup.seed, "queries", round_number)
        return Reference(drawn_queries(setup.public, self.queries, rng), setup.popular[: self.panel or None])

    def _trained(self, state: State, rng: np.random.Generator) -> State:
        """Return the state with a new student, trained on public histories and labels."""
        setup, how = state.setup, self.central
        student = self.model.build(setup.public.catalogue, setup.seed)
        histories = nonempty(setup.public.histories)
        shown, targets = self._labelled(state)

        def _loss(rows: Rows) -> Tensor:
            loss = central_loss(student, histories.take(rows), how, rng)
            if not targets.shape[0]:
                return loss
            chosen = rng.integers(targets.shape[0], size=len(rows))
            wanted = beside(student, torch.from_numpy(targets[chosen].toarray()))
            query = beside(student, padded_histories(shown.take(chosen), student.num_items))
            unseen = student(query) + HIDDEN * multi_hot(query, student.num_items)
            return loss + self.label_weight * multinomial_cross_entropy(unseen, wanted).mean()

        train(student, _loss, len(histories), how, rng)
        return state.with_arrays(**student_arrays(student))

    def _labelled(self, state: State) -> tuple[Ragged, sparse.csr_array]:
        """Return the answered queries of all rounds, and their labels as a matrix, shape [answered, items]."""
        labels = part(state, LABEL)
        keys = np.stack([labels["round"], labels["query"]], axis=1)
        asked, row = np.unique(keys, axis=0, return_inverse=True)
        shape = (len(asked), state.setup.public.num_items)
        matrix = sparse.csr_array((labels["share"], (row.reshape(-1), labels["item"])), shape=shape)
        rounds = {number: self._reference(state.setup, int(number)).histories for number in np.unique(asked[:, 0])}
        return Ragged.from_rows([rounds[number][query] for number, query in asked], np.int32), matrix


def drawn_queries(public: Interactions, count: int, rng: np.random.Generator) -> Ragged:
    """Return histories of public users: each as it is, in random order, then as many random halves as needed."""
    histories = nonempty(public.histories)
    cycles = -(-count // len(histories))
    rows = np.concatenate([rng.permutation(len(histories)) for _ in range(cycles)])[:count]
    drawn = histories.take(rows)
    return drawn.where((rng.random(len(drawn.values)) < 0.5) | (drawn.row_index < len(histories)))


def silo_model(users: Interactions, regularisation: float) -> Recommender:
    """Return EASE on a silo's users, in factors where users are fewer than items."""
    gram = Gram(users.matrix(np.float64).toarray())
    return ease_teacher(gram, regularisation, dense=users.num_users >= users.num_items)


def votes(model: Recommender, reference: Reference) -> NDArray[np.int8]:
    """Return one silo's votes: for every query its best item of the panel that the query does not hold.

    Parameters
    ----------
    model : Recommender
        The silo's own model. Only positive scores count: a silo that knows nothing of a query does not vote on it.
    reference : Reference
        Queries and panel.

    Returns
    -------
    ndarray of int8, shape [queries, panel]
        At most one 1 in a row, so the norm is at most the root of the number of queries.
    """
    scores = score(model, reference.histories)
    scores[reference.histories.row_index, reference.histories.values] = 0.0
    scores = scores[:, reference.panel]
    best = scores.argmax(axis=1)
    out = np.zeros(scores.shape, np.int8)
    out[np.arange(len(best)), best] = scores.max(axis=1) > 0
    return out


def confident(counts: Counts, threshold: float, floor: float) -> NDArray[np.float32]:
    """Return the labels from summed votes: for each answered query the shares of its items.

    Parameters
    ----------
    counts : ndarray, shape [queries, panel]
        The sums, possibly with noise.
    threshold : float
        Fewest votes of the most voted item with which a query is answered.
    floor : float
        Items with at most this many votes count as noise, except for the most voted one.

    Returns
    -------
    ndarray of float32, shape [queries, panel]
        Rows that sum to 1, or of zeros where silos do not agree.
    """
    top = counts.max(axis=1, keepdims=True)
    above = np.where((counts > floor) | (counts == top), np.maximum(counts, 0), 0) * (top >= threshold)
    total = above.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(above, total, out=np.zeros(above.shape), where=total > 0), np.float32)
