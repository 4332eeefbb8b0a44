"""A simulation of some clients in memory, without messages: its models, and everything that is sent."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedkd.aggregation.aggregator import Aggregator
from fedkd.aggregation.sums import Sum
from fedkd.evaluation.device import DEVICE_METRICS, measure
from fedkd.messages.missing import Failure
from fedkd.messages.types import Answers, Asks, Estimates, Spec
from fedkd.models.base import Recommender
from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.protocols.base import State
from fedkd.protocols.rounds import Round, play_round
from fedkd.random_streams import stream
from fedkd.runs.config import Config
from fedkd.runs.failures import mending_divergence, unanswered
from fedkd.runs.federation import Federation, mechanisms, student_noise
from fedkd.training.cohort import ClientState, Cohort
from fedkd.training.profiles import in_cohorts

Ids = NDArray[np.int64]


@dataclass
class DrySimulation:
    """Some clients of a federation, with their states between rounds.

    Attributes
    ----------
    config : Config
        The configuration of the simulated run.
    together : Federation
        Everyone's data.
    clients : ndarray of int64, shape [clients]
        The clients that take part, ascending; the public constants are those of all clients.
    kept : dict of int to ClientState
        What each client keeps between rounds.
    releases : int, optional
        As of ``mechanisms``.
    received, estimates : Answers and Estimates, optional
        What the server received in the latest round, and what it made of that.
    """

    config: Config
    together: Federation
    clients: Ids
    kept: dict[int, ClientState] = field(default_factory=dict)
    releases: int | None = None
    received: Answers | None = None
    estimates: Estimates | None = None

    @property
    def mechanism(self) -> Mechanism:
        """The noise of every answer."""
        return mechanisms(self.config, self.together.partition.num_clients, self.releases).answers

    def rounds(self) -> Iterator[tuple[State, Answers]]:
        """Yield, after every round, the server's state and everything that it received from the clients."""
        for played in self.play():
            assert self.received is not None
            yield played.state, self.received

    def play(self) -> Iterator[Round]:
        """Yield the outcome of every round."""
        protocol, state = self.config.algorithm, self.begin()
        for number in range(1, self.config.num_server_rounds + 1):
            with mending_divergence(protocol):
                played = play_round(protocol, state, number, self.clients, self.mechanism.participants, self.collect)
            state = played.state
            yield played
            if not len(protocol.invite(state, self.clients)):
                return

    def begin(self) -> State:
        """Return the server's state before the first round."""
        return self.config.algorithm.begin(self.together.setup(self.config, self.releases))

    def model(self) -> Recommender | None:
        """Return the public model after all rounds: the global student, else the teacher, else None."""
        protocol = self.config.algorithm
        for state, _ in self.rounds():
            last = state
        return protocol.student(last) or protocol.teacher(last)

    def collect(self, asks: Asks) -> Estimates | None:
        """Let the clients answer a question, cohort by cohort, and estimate."""
        if not len(asks.clients):
            return None
        aggregator = self.mechanism.aggregator(self.config.algorithm.expects(asks))
        self.received = self.encoded(asks, aggregator)
        if not len(self.received.clients):
            failures = {Failure(reason): len(clients) for reason, clients in self.received.refused.items()}
            raise unanswered(asks.round, failures)
        self.estimates = aggregator.decode(self.received)
        return self.estimates

    def cohort(self, clients: Ids) -> Cohort:
        """Return some clients of one device profile with their data and what they keep."""
        owner, data = self.together.held_by(clients)
        kept = tuple(self.kept.get(int(client), {}) for client in clients)
        model = self.config.clients.model(self.together.profiles(clients, self.config))
        return Cohort(clients, owner, data, self.config.seed, kept, student_noise(self.config), model)

    def encoded(self, asks: Asks, aggregator: Aggregator) -> Answers:
        """Return the clients' answers to a question as they are sent."""
        return aggregator.merge([aggregator.encode(self.learnt(own)) for own in self._by_cohort(asks)])

    def learnt(self, asks: Asks) -> Answers:
        """Return the raw answers of clients of one device profile to asks that concern them."""
        cohort, answers = self.config.algorithm.learn(self.cohort(asks.clients), asks)
        self.kept |= {int(client): state for client, state in zip(cohort.clients, cohort.states, strict=False)}
        return answers

    def measured(self, asks: Asks) -> Answers:
        """Return the metrics of what clients recommend, as they are sent."""
        parts, aggregator = list[Answers](), Sum(DEVICE_METRICS)
        for own in self._by_cohort(asks):
            cohort = self.cohort(own.clients)
            scores = self.config.algorithm.predict(cohort, own)
            metrics = {"metrics": measure(scores, cohort.data, cohort.owner, len(cohort))}
            parts.append(aggregator.encode(Answers(own.round, own.clients, metrics)))
        return aggregator.merge(parts)

    def _by_cohort(self, asks: Asks) -> Iterator[Asks]:
        profiles = self.together.profiles(asks.clients, self.config)
        return map(asks.take, in_cohorts(asks.clients, profiles, self.config.runtime.cohort_size))

    def first_asks(self) -> tuple[Asks, dict[str, Spec]]:
        """Return the question of the first round, and the form of its answers without noise."""
        protocol = self.config.algorithm
        asks = protocol.ask(self.begin(), self.clients, 1, stream(self.config.seed, "ask", 1))
        return asks, dict(protocol.expects(asks))
