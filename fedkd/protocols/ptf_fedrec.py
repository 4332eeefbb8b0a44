"""PTF-FedRec, in which predictions for single pairs of user and item travel instead of parameters."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.losses.binary import binary_cross_entropy
from fedkd.messages.types import Answers, Asks, Estimates, Kind, Spec
from fedkd.models.arrays import load_arrays, model_arrays
from fedkd.models.base import Recommender
from fedkd.models.ncf import NCF
from fedkd.protocols.base import Metrics, Protocol, Setup, State
from fedkd.protocols.rated_uploads import UploadRule, chosen, remembered, swap_top, taught_items
from fedkd.protocols.server_optimiser import named, part
from fedkd.ragged import Ragged, offsets
from fedkd.random_streams import stream
from fedkd.training.adam import Adam
from fedkd.training.chunks import Model, Parameters
from fedkd.training.cohort import ClientState, Cohort
from fedkd.training.engine import train
from fedkd.training.examples import Examples
from fedkd.training.local import keep_students, own_students
from fedkd.training.negatives import labelled_pairs, sample_negatives
from fedkd.training.options import CohortTraining

SERVER, ROUND, KNOWN = "server.", "triples.", "told."
"""Prefixes of the server's model, of the answers of a round, and of the scores that a client received."""


class PTFFedRec(Protocol):
    """PTF-FedRec, a federated recommender that transmits no parameters.

    Yuan et al., Hide your model: a parameter transmission-free federated recommender system, ICDE 2024.

    A client trains its own NCF on its positives, on sampled negatives, and on all scores from the server, as soft
    labels. It uploads ``(item, score)`` for a random part of its positives and negatives, with the scores of some of
    them swapped. The server trains a wider NCF, with a row for every client, on the triples ``(client, item, score)``
    of the round, and sends back scores of items that the client did not upload. Nothing is averaged, and this is the
    only protocol in which user ids travel. Every client must hold one user.

    The server's model scores clients, not histories, so it is no `Recommender` and there is no teacher to measure.
    Clients recommend with their own students; a client that never took part has an untrained one. All clients start
    from equal numbers. Adam starts anew in every round, on the clients and on the server.

    Attributes
    ----------
    dimensions, server_dimensions : int
        Length of the vectors of the clients' and the server's NCF.
    local_epochs, server_epochs : int
        Passes in a round.
    batch_size, server_batch_size : int
        Pairs in a step.
    learning_rate : float
        Learning rate of Adam, on both sides.
    negatives : int
        Number of negatives sampled for each positive in training.
    upload_positives, upload_negatives : tuple of float
        Bounds of the uploaded share of the positives, and of the negatives uploaded for each of them.
    swapped : float
        Share of the uploaded positives whose scores are swapped with scores of negatives.
    download : int
        Most items whose scores a client receives in a round; it keeps at most as many as it has positives.
    """

    centralises: ClassVar[bool] = False
    name: Literal["ptf-fedrec"] = "ptf-fedrec"
    dimensions: int = Field(16, ge=1)
    server_dimensions: int = Field(32, ge=1)
    local_epochs: int = Field(5, ge=1)
    server_epochs: int = Field(2, ge=1)
    batch_size: int = Field(256, ge=1)
    server_batch_size: int = Field(1024, ge=1)
    learning_rate: float = Field(0.001, gt=0)
    negatives: int = Field(4, ge=1)
    upload_positives: tuple[float, float] = (0.1, 1.0)
    upload_negatives: tuple[float, float] = (1.0, 4.0)
    swapped: float = Field(0.1, ge=0, le=1)
    download: int = Field(30, ge=0)

    def begin(self, setup: Setup) -> State:
        """Build the server's model, without any uploads."""
        if setup.num_clients != setup.num_private_users:
            raise UserError(
                f"algorithm ptf-fedrec needs clients of one user each; {setup.num_clients} clients hold "
                f"{setup.num_private_users} users; set partition.clients to users"
            )
        items = setup.public.num_items
        server = _build(items, setup.num_clients, self.server_dimensions, setup.seed)
        history = {"uploaded": np.zeros((setup.num_clients, items), bool), "counts": np.zeros(items, np.int64)}
        return State(setup, named(SERVER, model_arrays(server)) | history)

    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        """Send every client scores of items that it did not upload; none before the server's first training."""
        del rng
        if not state.arrays["counts"].any():
            return Asks(round_number, clients)
        scores = self._server_scores(state, clients)
        uploaded, counts = state.arrays["uploaded"][clients], state.arrays["counts"]
        items, values = taught_items(scores, uploaded, counts, self.download)
        return Asks(round_number, clients, own={"item": items, "score": values})

    def unprotectable(self) -> str | None:
        """Return the reason: item ids, counted over a few rounds, reveal histories even if scores are protected."""
        return (
            "clients upload item ids in the clear; nothing done to their scores hides which items they hold; set "
            "algorithm.name to another, or leave privacy.mode, privacy.epsilon and privacy.delta out"
        )

    def masks(self) -> bool:
        """Return False: the server reads every client's ids."""
        return False

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        """Return the form of the answer: a varying number of items and scores per client."""
        del asks
        return {
            "item": Spec(Kind.RATED_ITEMS, (-1,), sums=False, dtype="int32"),
            "score": Spec(Kind.RATED_ITEMS, (-1,), sums=False),
        }

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Store the server's scores, train privately, and upload some predictions."""
        cohort = _told(cohort, asks)
        model = self._blank(cohort)
        parameters = own_students(model, cohort)
        positives = _positives(cohort)
        streams = [stream(cohort.seed, "train", asks.round, int(client)) for client in cohort.clients]
        negatives = sample_negatives(positives, model.num_items, self.negatives, streams)
        examples = _with_told(*labelled_pairs(positives, negatives), cohort)
        training = CohortTraining(
            epochs=self.local_epochs, learning_rate=self.learning_rate, batch_size=self.batch_size
        )
        train(model, parameters, examples, pair_loss, training, streams)
        values = self._upload(cohort, parameters, (positives, negatives), asks.round)
        return keep_students(cohort, parameters, self._blank(cohort)), Answers(asks.round, cohort.clients, values)

    def pool(self, state: State, estimates: Estimates) -> State:
        """Collect the triples."""
        items, scores = estimates.values["item"].value, estimates.values["score"].value
        users = np.repeat(estimates.clients, items.lengths)
        valid = (items.values >= 0) & (items.values < state.setup.public.num_items)
        new = {"user": users[valid], "item": items.values[valid].astype(np.int64), "score": scores.values[valid]}
        before = part(state, ROUND)
        joined = {name: np.concatenate([before.get(name, array[:0]), array]) for name, array in new.items()}
        return state.with_arrays(**named(ROUND, joined))

    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        """Train the server's model on the triples of the round, and count what was uploaded."""
        triples = part(state, ROUND)
        state = State(state.setup, {n: a for n, a in state.arrays.items() if not n.startswith(ROUND)})
        if not triples:
            return state, {}
        order = np.lexsort((triples["item"], triples["user"]))
        user, item, score = (triples[name][order] for name in ("user", "item", "score"))
        server = self._server(state)
        loss = self._train_server(server, user, item, score, rng)
        uploaded = state.arrays["uploaded"].copy()
        uploaded[user, item] = True
        counts = state.arrays["counts"] + np.bincount(item, minlength=len(state.arrays["counts"]))
        metrics = {"loss": loss, "triples": float(len(user))}
        return state.with_arrays(**named(SERVER, model_arrays(server)), uploaded=uploaded, counts=counts), metrics

    def teacher(self, state: State) -> Recommender | None:
        """Return None: the server's model knows clients by number and scores no histories."""
        del state
        return None

    def student(self, state: State) -> Recommender | None:
        """Return None: every client keeps its own."""
        del state
        return None

    def predict(self, cohort: Cohort, asks: Asks) -> NDArray[np.float32]:
        """Score the catalogue for every user with the user's own NCF."""
        del asks
        model = self._blank(cohort)
        everything = torch.arange(model.num_items).expand(len(cohort), -1)
        with torch.no_grad():
            logits = NCF.stacked(own_students(model, cohort), everything)
        return np.asarray(logits.numpy()[cohort.owner])

    def centralised(self, train: Interactions, setup: Setup) -> Recommender | None:
        """Return None: an NCF of everyone's data would know users by number."""
        del train, setup
        return None

    def _blank(self, cohort: Cohort) -> NCF:
        return _build(cohort.data.train.num_items, 1, self.dimensions, cohort.seed)

    def _server(self, state: State) -> NCF:
        model = _build(state.setup.public.num_items, state.setup.num_clients, self.server_dimensions, 0)
        return load_arrays(model, part(state, SERVER))

    def _server_scores(self, state: State, clients: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the server's probabilities, shape [clients, items]."""
        server = self._server(state)
        items = torch.arange(server.num_items)
        out = np.empty((len(clients), server.num_items), np.float32)
        with torch.no_grad():
            for row, client in enumerate(clients):
                out[row] = torch.sigmoid(server(items, torch.full_like(items, int(client)))).numpy()
        return out

    def _train_server(
        self,
        server: NCF,
        user: NDArray[np.int64],
        item: NDArray[np.int64],
        score: NDArray[np.float32],
        rng: np.random.Generator,
    ) -> float:
        """Train on triples by the summed cross entropy, in place; return the mean loss of a triple in the last pass."""
        adam = Adam(server.parameters(), self.learning_rate)
        columns = [torch.from_numpy(np.array(column)) for column in (user, item, score)]
        total = 0.0
        for _ in range(self.server_epochs):
            total = 0.0
            order = torch.from_numpy(rng.permutation(len(user)))
            for start in range(0, len(user), self.server_batch_size):
                users, items, labels = (column[order[start : start + self.server_batch_size]] for column in columns)
                loss = functional.binary_cross_entropy_with_logits(server(items, users), labels, reduction="sum")
                total += adam.step(loss)
        return total / len(user)

    def _upload(
        self, cohort: Cohort, parameters: Parameters, pairs: tuple[Ragged, Ragged], round_number: int
    ) -> dict[str, Ragged]:
        """Return every client's scores of some of its positives and negatives, ordered by item."""
        rule = UploadRule(self.upload_positives, self.upload_negatives, self.swapped)
        items, scores = [], []
        for row, client in enumerate(cohort.clients):
            rng = stream(cohort.seed, "upload", round_number, int(client))
            positives, negatives = (np.unique(ragged[row]).astype(np.int64) for ragged in pairs)
            liked, others = chosen(positives, negatives, rule, rng)
            own = {name: stacked[[row]] for name, stacked in parameters.items()}
            told = swap_top(_probabilities(own, liked), _probabilities(own, others), rule.swapped)
            both = np.concatenate([liked, others])
            order = np.argsort(both)
            items.append(both[order])
            scores.append(np.concatenate(told)[order])
        return {"item": Ragged.from_rows(items, np.int32), "score": Ragged.from_rows(scores, np.float32)}


def pair_loss(student: Model, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the binary cross entropy of every pair with its hard or soft label, shape [batch]."""
    return binary_cross_entropy(student(batch["item"]), batch["label"])


def _build(num_items: int, num_users: int, dimensions: int, seed: int) -> NCF:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NCF(num_items, num_users, dimensions)


def _probabilities(own: Parameters, items: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return one student's probabilities of some items, shape [items]."""
    with torch.no_grad():
        scores: NDArray[np.float32] = torch.sigmoid(NCF.stacked(own, torch.from_numpy(items)[None]))[0].numpy()
    return scores


def _positives(cohort: Cohort) -> Ragged:
    """Return the training items of every client, one row a client."""
    histories = cohort.data.train.histories
    return Ragged(histories.values, offsets(np.bincount(cohort.owner, histories.lengths, len(cohort)).astype(np.int64)))


def _told(cohort: Cohort, asks: Asks) -> Cohort:
    """Return the cohort with the server's scores stored, for each client at most as many as it has positives."""
    if "item" not in asks.own:
        return cohort
    before: tuple[ClientState, ...] = cohort.states or ({},) * len(cohort)
    most = _positives(cohort).lengths
    states = []
    for row, state in enumerate(before):
        items, scores = (asks.own[name][row][: most[row]] for name in ("item", "score"))
        joined = remembered(*_known(state), items.astype(np.int64), scores.astype(np.float32))
        states.append({**state, **named(KNOWN, dict(zip(("item", "score"), joined, strict=True)))})
    return cohort.with_states(tuple(states))


def _known(state: ClientState) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    nothing: tuple[NDArray[Any], NDArray[Any]] = (np.zeros(0, np.int64), np.zeros(0, np.float32))
    return (state[KNOWN + "item"], state[KNOWN + "score"]) if KNOWN + "item" in state else nothing


def _with_told(items: Ragged, labels: Ragged, cohort: Cohort) -> Examples:
    """Return pairs with hard labels, followed by those with the server's scores, as training examples."""
    known = [_known(state) for state in cohort.states] or [_known({})] * len(cohort)
    rows = [(np.concatenate([items[r], i]), np.concatenate([labels[r], s])) for r, (i, s) in enumerate(known)]
    columns = {
        "item": Ragged.from_rows([row[0] for row in rows], np.int64),
        "label": Ragged.from_rows([row[1] for row in rows], np.float32),
    }
    return Examples(columns, items=("item",))
