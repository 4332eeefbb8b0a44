"""A federation of chosen clients played in memory, without messages: what an attacker would see of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedkd.aggregation.release import merge, release
from fedkd.messages.types import Answers, Asks, Spec
from fedkd.models.base import Recommender
from fedkd.protocols.base import State
from fedkd.random_streams import stream
from fedkd.runs.config import Config
from fedkd.runs.federation import Federation, protection, student_noise
from fedkd.training.cohort import ClientState, Cohort

Ids = NDArray[np.int64]


@dataclass
class Rehearsal:
    """Some clients of a federation, and what they keep between rounds.

    Attributes
    ----------
    config : Config
        Of the run that is rehearsed.
    together : Federation
        Everyone's data.
    clients : ndarray of int64, shape [clients]
        Who takes part, ascending; all others stay away, which no public constant shows.
    """

    config: Config
    together: Federation
    clients: Ids
    _kept: dict[int, ClientState] = field(default_factory=dict)

    def rounds(self) -> Iterator[tuple[State, Answers]]:
        """Yield, after every round, the server's state and all that it received of the clients."""
        protocol, setup = self.config.algorithm, self.together.setup(self.config)
        state, guard = protocol.begin(setup), protection(self.config, setup.num_clients)
        for number in range(1, self.config.num_server_rounds + 1):
            chosen = self._sampled(protocol.invite(state, self.clients), guard.participants, number)
            if len(chosen):
                asks = protocol.ask(state, chosen, number, stream(self.config.seed, "ask", number))
                specs = guard.specs(protocol.expects(asks))
                size = self.config.runtime.cohort_size
                chunks = [chosen[start : start + size] for start in range(0, len(chosen), size)]
                received = merge([release(self.learnt(asks.take(own)), specs, guard) for own in chunks], specs)
                state = protocol.pool(state, guard.sum(received, specs) if guard.active else received)
            state, _ = protocol.teach(state, stream(self.config.seed, "teach", number))
            yield state, received

    def model(self) -> Recommender | None:
        """Return what the rounds end in and everyone may get: the global student, else the teacher, else None."""
        protocol = self.config.algorithm
        for state, _ in self.rounds():
            last = state
        return protocol.student(last) or protocol.teacher(last)

    def learnt(self, asks: Asks) -> Answers:
        """Return the clients' raw answers to asks that concern them."""
        owner, data = self.together.held_by(asks.clients)
        kept = tuple(self._kept.get(int(client), {}) for client in asks.clients)
        cohort = Cohort(asks.clients, owner, data, self.config.seed, kept, student_noise(self.config))
        cohort, answers = self.config.algorithm.learn(cohort, asks)
        self._kept |= {int(client): state for client, state in zip(cohort.clients, cohort.states, strict=False)}
        return answers

    def first_asks(self) -> tuple[Asks, dict[str, Spec]]:
        """Return what the clients are asked in the first round, and what their answers look like without noise."""
        protocol = self.config.algorithm
        state = protocol.begin(self.together.setup(self.config))
        asks = protocol.ask(state, self.clients, 1, stream(self.config.seed, "ask", 1))
        return asks, dict(protocol.expects(asks))

    def _sampled(self, invited: Ids, quota: int, number: int) -> Ids:
        if len(invited) <= quota:
            return invited
        return np.sort(stream(self.config.seed, "sample", number).choice(invited, quota, replace=False))
