"""The round loop: one Flower strategy for every protocol and every runtime."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy
from numpy.typing import NDArray

from fedkd.codec import MalformedError
from fedkd.evaluation.device import DEVICE_METRICS, METRICS_SUM
from fedkd.evaluation.evaluator import PerUser
from fedkd.knowledge import Answers, Asks, Spec
from fedkd.models.base import Recommender
from fedkd.privacy.account import EXHAUSTED, Paid
from fedkd.privacy.protection import Protection
from fedkd.protocols.base import Protocol
from fedkd.ragged import Ragged
from fedkd.release import merge
from fedkd.streams import stream
from fedkd.wire import answer_bytes, ask_bytes, ask_record, read_answer
from server.exchange import collect, find_hosts, missing, wait_for_hosts
from server.progress import Progress, Record, round_record
from server.releases import Releases, quality
from server.secure import SecureExchange

INFO = 20

Answered = tuple[Answers, Mapping[str, Spec]]
"""Usable answers, and what they look like."""


@dataclass
class Distillation(Strategy):
    """Federated distillation by the four verbs of a protocol.

    Attributes
    ----------
    protocol : Protocol
        What is asked, learnt, pooled and taught.
    progress : Progress
        Where the run stands; a resumed run begins with a saved one.
    training : Releases
        How answers are protected, and what pays for it.
    metrics : Releases, optional
        How the one release of metrics under protection is; without it devices say nothing of their quality then.
    timeout, wait : float
        Seconds until an answer counts as missing, and for all clients to connect.
    evaluate_every : int
        Rounds between evaluations on the devices; 0 for the last round only.
    score : callable, optional
        Measures a model on private users; possible in a simulation only, and outside byte counts. It measures the
        teacher, and under protection the student too: devices' own metrics would be one more release.
    secure : SecureExchange, optional
        Asks so that only the sum of the answers is seen; every node must host one client then.
    sinks : tuple of callable
        Called with each round's record and the progress after it.
    per_user, teacher_per_user : PerUser, optional
        The latest evaluation of student and teacher, users in the order of their clients.
    quality : dict of str to float
        What the release of metrics said of the student.
    """

    protocol: Protocol
    progress: Progress
    training: Releases
    metrics: Releases | None = None
    timeout: float = 600.0
    wait: float = 60.0
    evaluate_every: int = 1
    score: Callable[[Recommender], PerUser] | None = None
    secure: SecureExchange | None = None
    sinks: tuple[Callable[[Record, Progress], None], ...] = ()
    per_user: PerUser | None = None
    teacher_per_user: PerUser | None = None
    quality: dict[str, float] = field(default_factory=dict)
    _hosts: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    _asked: dict[int, Asks] = field(default_factory=dict)
    _sent: list[Message] = field(default_factory=list)
    _failures: Counter[str] = field(default_factory=Counter)
    _paid: Paid | None = None
    _opened: list[Answered] | None = None

    @property
    def protection(self) -> Protection:
        """The noise of every answer."""
        return self.training.protection

    def summary(self) -> None:
        """Log what will run."""
        setup = self.progress.state.setup
        log(INFO, "\t├── protocol: %s", self.protocol.name)
        log(INFO, "\t├── clients: %d, asked in a round: %d", setup.num_clients, self.protection.participants)
        log(INFO, "\t└── public users: %d, items: %d", setup.public.num_users, setup.public.num_items)

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord | None = None,
        num_rounds: int = 1,
        timeout: float = 0.0,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Run the rounds that are left until ``num_rounds`` are done.

        Arrays and configuration records are Flower's way to carry a model; here the protocol's state is the model, so
        ``initial_arrays`` and the three last parameters are not used. ``timeout`` replaces the strategy's own if given.
        """
        del initial_arrays, train_config, evaluate_config, evaluate_fn
        self.timeout = timeout or self.timeout
        self._hosts = wait_for_hosts(grid, self.progress.state.setup.num_clients, self.wait, self.timeout)
        self.summary()
        result = Result()
        for number in range(self.progress.round + 1, num_rounds + 1):
            record = self._round(grid, number, last=number == num_rounds)
            result.train_metrics_clientapp[number] = MetricRecord({"answers": record["answers"]})
            result.evaluate_metrics_serverapp[number] = MetricRecord(dict(record["metrics"]))
        return result

    def _round(self, grid: Grid, number: int, last: bool) -> Record:
        """Ask, learn, pool, teach; evaluate; tell the sinks."""
        begun, before, self._failures = time.monotonic(), self.progress, Counter()
        if number > 1:
            self._hosts = find_hosts(grid, self._hosts, self.timeout)
        _, taught = self.aggregate_train(number, self._replies(grid, number))
        metrics, trained = dict(taught or {}), time.monotonic() - begun
        if last or (self.evaluate_every and number % self.evaluate_every == 0):
            if not self.protection.active:
                sent = list(self.configure_evaluate(number, ArrayRecord(), ConfigRecord(), grid))
                replies = grid.send_and_receive(sent, timeout=self.timeout)
                metrics |= dict(self.aggregate_evaluate(number, replies) or {})
            metrics |= self._measured()
        if last and self.metrics is not None:
            self.quality = self._released(grid, number + 1, self.metrics)
        self.progress = replace(self.progress, round=number, seconds=self.progress.seconds + trained)
        record = round_record(before, self.progress, dict(self._failures), metrics | self.quality, trained)
        if self.protection.active:
            record["epsilon"] = self.protection.spent(number, measured=last)
        for sink in self.sinks:
            sink(record, self.progress)
        return record

    def _replies(self, grid: Grid, number: int) -> Iterable[Message]:
        """Ask the clients, unless the release must not be made, or was made before the run was interrupted."""
        self._sent, self._asked, self._opened = [], {}, None
        self._paid = self.training.pay(f"round {number}")
        if not len(self._paid.owners):
            self._failures[EXHAUSTED] += self.protection.participants
            return []
        if self._paid.kept is not None:
            return []
        sent = list(self.configure_train(number, ArrayRecord(), ConfigRecord(), grid))
        self.training.tell(number, "answers", self.protection.spent(number))
        if self.secure is None or not sent:
            return grid.send_and_receive(sent, timeout=self.timeout)
        specs = self._specs(next(iter(self._asked.values())))
        self._opened = self._open(grid, self.secure, "train", specs, self.protection)
        return []

    def _open(
        self, grid: Grid, secure: SecureExchange, kind: str, plain: Mapping[str, Spec], guard: Protection
    ) -> list[Answered]:
        """Ask so that only the sum is seen, and count who is in it and what the keys cost."""
        total = secure.sum(grid, kind, self._asked, plain, guard.maskable(plain))
        for client, reason in secure.failures.items():
            self._fail(np.array([client]), reason)
        for client, count in secure.handshake.items():
            self.progress = self.progress.counted("handshake-bytes", np.array([client]), count)
        return [] if total is None else [(total, guard.maskable(plain))]

    def _released(self, grid: Grid, number: int, releases: Releases) -> dict[str, float]:
        """Return what one protected sum of all devices' metrics says of the student."""
        guard, paid = releases.protection, releases.pay("metrics")
        specs, answers = guard.specs(METRICS_SUM), []
        if len(paid.owners) and paid.kept is None:
            sent = list(self.configure_evaluate(number, ArrayRecord(), ConfigRecord(), grid))
            releases.tell(number, "metrics", self.protection.spent(number, measured=True))
            if self.secure is not None and sent:
                answers = self._open(grid, self.secure, "evaluate", specs, guard)
            else:
                replies = grid.send_and_receive(sent, timeout=self.timeout)
                answers = list(self._read(replies, lambda asks: specs))
        for part, form in answers:
            self.progress = self.progress.counted("evaluation-up-bytes", part.clients, answer_bytes(part, form))
        total = releases.total(paid, merge([part for part, _ in answers], specs) if answers else None, specs)
        return {} if total is None else quality(total, guard)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Choose clients and write their asks, one message a node."""
        del arrays, config, grid
        chosen, state = self._sample(server_round), self.progress.state
        self.progress = self.progress.counted("asked", chosen)
        asks = self.protocol.ask(state, chosen, server_round, stream(state.setup.seed, "ask", server_round))
        return self._messages(asks, "train", "down-bytes")

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Check the answers, fold them into the state in a fixed order, and teach."""
        parts: list[Answers] = []
        state = self.progress.state
        for answers, specs in self._read(replies, self._specs) if self._opened is None else self._opened:
            self.progress = self.progress.counted("up-bytes", answers.clients, answer_bytes(answers, specs))
            self.progress = self.progress.counted("answered", answers.clients)
            if self.protection.active:
                parts = [merge([*parts, answers], specs)]
            else:
                state = self.protocol.pool(state, answers)
        if self.protection.active and self._paid is not None:
            if parts and len(parts[0].clients) < self.protection.quorum:
                self._failures["too few answers for the noise"] += len(parts[0].clients)
            total = self.training.total(self._paid, parts[0] if parts else None, specs if parts else {})
            state = state if total is None else self.protocol.pool(state, total)
        begun = time.monotonic()
        state, metrics = self.protocol.teach(state, stream(state.setup.seed, "teach", server_round))
        spent = self.progress.teaching_seconds + time.monotonic() - begun
        self.progress = replace(self.progress, state=state, teaching_seconds=spent)
        return None, MetricRecord(dict(metrics))

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send every connected client what it needs to recommend."""
        del arrays, config, grid
        asks = self.protocol.deploy(self.progress.state, self._connected(), server_round)
        return self._messages(asks, "evaluate", "evaluation-down-bytes")

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Average the devices' metrics over users."""
        rows: list[Ragged] = []
        for answers, specs in self._read(replies, lambda asks: DEVICE_METRICS):
            self.progress = self.progress.counted("evaluation-up-bytes", answers.clients, answer_bytes(answers, specs))
            rows.append(answers.values["metrics"])
        if not rows:
            return None
        table = np.concatenate([ragged.values for ragged in rows]).astype(np.float64)
        self.per_user = PerUser(np.arange(len(table)), table)
        return MetricRecord({f"student.{name}": mean for name, mean in self.per_user.means().items()})

    def _specs(self, asks: Asks) -> Mapping[str, Spec]:
        return self.protection.specs(self.protocol.expects(asks))

    def _connected(self) -> NDArray[np.int64]:
        return np.sort(np.concatenate([*self._hosts.values(), np.zeros(0, np.int64)]))

    def _sample(self, server_round: int) -> NDArray[np.int64]:
        invited, quota = self.protocol.invite(self.progress.state, self._connected()), self.protection.participants
        if len(invited) <= quota:
            return invited
        rng = stream(self.progress.state.setup.seed, "sample", server_round)
        return np.sort(rng.choice(invited, quota, replace=False))

    def _messages(self, asks: Asks, kind: str, count: str) -> list[Message]:
        """Write one message to every node that hosts some of the asked clients."""
        self._asked = {}
        for node, hosted in self._hosts.items():
            clients = np.intersect1d(asks.clients, hosted)
            if len(clients):
                self._asked[node] = asks.take(clients)
                self.progress = self.progress.counted(count, clients, ask_bytes(self._asked[node]))
        self._sent = [
            Message(ask_record(own), dst_node_id=node, message_type=kind) for node, own in self._asked.items()
        ]
        return self._sent

    def _read(self, replies: Iterable[Message], specs_of: Callable[[Asks], Mapping[str, Spec]]) -> Iterable[Answered]:
        """Yield the usable answers, ordered by client, and count the rest by reason."""
        matched = collect(self._sent, list(replies))
        for node, reason in matched.failures.items():
            self._fail(self._asked[node].clients, reason)
        for node in sorted(matched.contents, key=lambda node: int(self._asked[node].clients[0])):
            asks = self._asked[node]
            specs = specs_of(asks)
            try:
                answers = read_answer(matched.contents[node], asks, specs)
            except MalformedError as error:
                self._fail(asks.clients, f"malformed: {error}")
                continue
            for reason, clients in missing(asks, answers).items():
                self._fail(clients, reason)
            if len(answers.clients):
                yield answers, specs

    def _fail(self, clients: NDArray[np.int64], reason: str) -> None:
        self._failures[reason] += len(clients)
        self.progress = self.progress.counted("failed", clients)

    def _measured(self) -> dict[str, float]:
        """Measure the teacher where that is possible, and the student where devices may not say how good it is."""
        state, metrics = self.progress.state, dict[str, float]()
        if self.score is None:
            return metrics
        if (teacher := self.protocol.teacher(state)) is not None:
            self.teacher_per_user = self.score(teacher)
            metrics |= {f"teacher.{name}": mean for name, mean in self.teacher_per_user.means().items()}
        if self.protection.active and (student := self.protocol.student(state)) is not None:
            self.per_user = self.score(student)
            metrics |= {f"student.{name}": mean for name, mean in self.per_user.means().items()}
        return metrics
