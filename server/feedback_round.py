"""The round that a service's log of feedback brings: its people answer, and teacher and student are taught."""

import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np

from fedkd.errors import UserError
from fedkd.feedback.people import People
from fedkd.messages.records import dump_estimates, load_estimates
from fedkd.messages.types import Answers, Asks, Estimates
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.events import total
from fedkd.privacy.ledger import data_key
from fedkd.privacy.ledger_account import EVERYONE, Account, Paid
from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.privacy.renyi_filter import least_epsilon
from fedkd.protocols.rounds import Round, refreshed
from fedkd.runs.config import Config
from fedkd.runs.federation import mechanisms
from fedkd.runs.folder import RunFolder
from fedkd.training.client_states import StateStore
from fedkd.training.cohort import Cohort
from server.app import books
from server.people import data_of, read_people
from server.progress import Progress


@dataclass
class FeedbackRound:
    """The round in which the people of a log answer, with the server in their place.

    Attributes
    ----------
    folder : RunFolder
        The run.
    config : Config
        Its configuration.
    people : People
        Everybody whom the run will have heard of.
    before : Progress
        The run's progress.
    store : StateStore
        What people keep, as clients would.
    """

    folder: RunFolder
    config: Config
    people: People
    before: Progress
    store: StateStore
    released: bool = False

    @property
    def known(self) -> int:
        """Number of people whom the run has heard of before."""
        return len(read_people(self.folder))

    @property
    def registered(self) -> int:
        """Number of clients with a device."""
        return self.before.state.setup.num_clients - self.known

    @property
    def mechanism(self) -> Mechanism:
        """The noise of the people's answers."""
        planned = mechanisms(self.config, self.registered).answers
        return replace(planned, participants=max(1, len(self.people)))

    def play(self) -> Round:
        """Let new people answer, and those who went on; under protection who is in the sum already stays as they are.

        A further answer of theirs would be one more release about them.
        """
        protocol, known = self.config.algorithm, read_people(self.folder)
        went_on = np.zeros(0, np.int64) if self.mechanism.active else self.people.went_on(known)
        state = protocol.admit(self.before.state, len(self.people) - len(known))
        return refreshed(protocol, state, self.registered + went_on, self.before.round + 1, self._collect)

    def _collect(self, asks: Asks) -> Estimates | None:
        if not len(asks.clients):
            return None
        account, paid = self._pay()
        if paid is not None and paid.kept is not None:
            return load_estimates(paid.kept)
        found = self._answered(asks)
        if account is None or paid is None:
            return found
        return load_estimates(account.keep(paid, dump_estimates(found)))

    def _pay(self) -> tuple[Account | None, Paid | None]:
        """Charge the release, under protection; a ``UserError`` where the budget does not allow it."""
        if not self.mechanism.active:
            return None, None
        account = self.mechanism.account(*books(self.config, self.folder.path))
        paid = account.pay(EVERYONE, f"run {self.folder.run}, feedback {self._name}")
        if paid.refused:
            raise UserError(
                "one more release would exceed the run's privacy budget, so nothing was updated; begin a run that "
                f"leaves room for it, with --set privacy.epsilon-limit={_rounded_up(_needed(account))}"
            )
        self.released = True
        return account, paid

    @property
    def _name(self) -> str:
        """The name of the release: the same log asks for the same one again."""
        return hashlib.sha256(b"".join(sorted(self.people.lines))).hexdigest()[:16]

    def _answered(self, asks: Asks) -> Estimates:
        """Return the estimates of the answers, which the server computes in the people's place."""
        aggregator = self.mechanism.aggregator(self.config.algorithm.expects(asks))
        size = self.config.runtime.cohort_size
        parts = [asks.clients[first : first + size] for first in range(0, len(asks.clients), size)]
        return aggregator.decode(aggregator.merge([aggregator.encode(self._learnt(asks.take(part))) for part in parts]))

    def _learnt(self, asks: Asks) -> Answers:
        people, own = asks.clients - self.registered, np.arange(len(asks.clients))
        data = data_of(self.people, people, self.before.state.setup.public.catalogue)
        states = self.store.load(people, asks.round)
        learnt, answers = self.config.algorithm.learn(Cohort(asks.clients, own, data, self.config.seed, states), asks)
        self.store.save(people, learnt.states, asks.round)
        return answers


def _needed(account: Account) -> float:
    """Return the limit under which one more release is allowed."""
    spent = account.ledger.spent(data_key(account.source, account.naming(int(EVERYONE[0]))))
    cost = total([spent, account.cost])
    limit = account.limit
    return least_epsilon(cost, limit.delta) if limit.adaptive else epsilon(cost, limit.delta)


def _rounded_up(value: float) -> str:
    return f"{math.ceil(100 * value) / 100:g}"
