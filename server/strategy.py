"""The round loop: one Flower strategy for every protocol and every runtime."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy
from numpy.typing import NDArray

from fedkd.aggregation.release import merge
from fedkd.distillation.item_popularity import PANEL, panel_spec, probable_popularity
from fedkd.evaluation.device import DEVICE_METRICS, METRICS_SUM, USERS_SUM, averaged
from fedkd.evaluation.evaluator import PerUser
from fedkd.messages.flower import answer_bytes
from fedkd.messages.types import Answers, Asks, Spec
from fedkd.models.base import Recommender
from fedkd.privacy.ledger_account import EXHAUSTED, Paid
from fedkd.privacy.mechanism import Protection
from fedkd.protocols.base import Protocol
from fedkd.ragged import Ragged
from fedkd.random_streams import stream
from server.catalogue import CatalogueExchange
from server.node_registry import Hosts
from server.progress import Progress, Record, round_record
from server.releases import Releases, quality
from server.requests import Answered, Questions
from server.secure import SecureExchange

INFO = 20


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
    panel : Releases, optional
        How the one release of what items clients have is, before the first round; without it the public users alone
        say which items are popular.
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
        Asks so that only the sum of the answers is seen; every node must host one client then, and prove it.
    catalogue : CatalogueExchange, optional
        Sends the catalogue to nodes that lack it; a simulation's nodes have it.
    sinks : tuple of callable
        Called with each round's record and the progress after it.
    per_user, teacher_per_user : PerUser, optional
        The latest evaluation of student and teacher, users in the order of their clients.
    student_quality : dict of str to dict
        Means and intervals of the latest evaluation where devices told sums alone.
    quality : dict of str to float
        What the release of metrics said of the student.
    """

    protocol: Protocol
    progress: Progress
    training: Releases
    panel: Releases | None = None
    metrics: Releases | None = None
    timeout: float = 600.0
    wait: float = 60.0
    evaluate_every: int = 1
    score: Callable[[Recommender], PerUser] | None = None
    secure: SecureExchange | None = None
    catalogue: CatalogueExchange | None = None
    sinks: tuple[Callable[[Record, Progress], None], ...] = ()
    per_user: PerUser | None = None
    teacher_per_user: PerUser | None = None
    student_quality: dict[str, dict[str, float]] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)
    _questions: Questions | None = None
    _asks: Asks | None = None
    _paid: Paid | None = None
    _opened: list[Answered] | None = None

    @property
    def protection(self) -> Protection:
        """The noise of every answer."""
        return self.training.protection

    @property
    def questions(self) -> Questions:
        """The clients, once the run has started."""
        if self._questions is None:
            raise RuntimeError("clients are asked after start")
        return self._questions

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
        directory = self.secure.directory if self.secure else None
        nodes = Hosts(grid, self.progress.state.setup.num_clients, timeout or self.timeout, directory)
        self._questions = Questions(nodes, self._count, self.secure, self.catalogue)
        self._questions.connect(self.wait)
        self.summary()
        result = Result()
        for number in range(self.progress.round + 1, num_rounds + 1):
            record = self._round(number, last=number == num_rounds)
            result.train_metrics_clientapp[number] = MetricRecord({"answers": record["answers"]})
            result.evaluate_metrics_serverapp[number] = MetricRecord(dict(record["metrics"]))
        return result

    def _round(self, number: int, last: bool) -> Record:
        """Ask, learn, pool, teach; evaluate; tell the sinks."""
        begun, before = time.monotonic(), self.progress
        self.questions.failures.clear()
        if number > 1:
            self.questions.look_again()
        elif self.panel is not None:
            self._choose_panel(self.panel)
        _, taught = self.aggregate_train(number, self._replies(number))
        if self._was_refused(before):
            self.progress = replace(self.progress, paid=before.paid)
        metrics, trained = dict(taught or {}), time.monotonic() - begun
        if last or (self.evaluate_every and number % self.evaluate_every == 0):
            metrics |= {} if self.protection.active else self._told(number)
            metrics |= self._measured()
        if last and self.metrics is not None:
            self.quality = self._released_metrics(number + 1, self.metrics)
        self.progress = replace(self.progress, round=number, seconds=self.progress.seconds + trained)
        failures = dict(self.questions.failures)
        record = round_record(before, self.progress, failures, metrics | self.quality, trained)
        if self.protection.active:
            spent = self.protection.spent(self.progress.paid, measured=last)
            planned = self.protection.options.budget[0]
            record |= {"epsilon": spent, "epsilon-planned": planned, **self.protection.conditions}
        for sink in self.sinks:
            sink(record, self.progress)
        return record

    def _replies(self, number: int) -> Iterable[Message]:
        """Ask the clients, unless the release must not be made, or was made before the run was interrupted."""
        self._opened = []
        self._paid = self.training.pay(number)
        if not len(self._paid.owners):
            self.questions.failures[EXHAUSTED] += self.protection.participants
            return []
        self.progress = replace(self.progress, paid=self.progress.paid + 1)
        if self._paid.kept is not None:
            return []
        sent = list(self.configure_train(number, ArrayRecord(), ConfigRecord(), self.questions.nodes.grid))
        self.training.tell(number, self.protection.spent(self.progress.paid))
        if self.secure is None or not sent or self._asks is None:
            self._opened = None
            return self.questions.send()
        self._opened = self.questions.summed("train", self._specs(self._asks), self.protection)
        return []

    def _was_refused(self, before: Progress) -> bool:
        """Say whether the budget of everyone who was asked in this round was exhausted, so that it cost nothing."""
        reasons = self.questions.failures
        silent = self.progress.total(["answered"]) == before.total(["answered"])
        return silent and bool(reasons) and all(EXHAUSTED in reason for reason in reasons)

    def _choose_panel(self, releases: Releases) -> None:
        """Begin with what one protected sum says of the items that clients have."""
        setup = self.progress.state.setup
        asks = Asks(0, self.questions.connected, {"items": np.array([setup.public.num_items])})
        self.questions.write(asks, releases.kind, "down-bytes")
        total = self._released(releases, 1, panel_spec(setup.public.num_items), self.protection.spent(0))
        if total is not None:
            noise = releases.protection.noise
            popularity = probable_popularity(total.values[PANEL], setup.public, setup.num_private_users, noise)
            state = self.protocol.begin(replace(setup, popularity=popularity))
            self.progress = replace(self.progress, state=state)

    def _told(self, number: int) -> dict[str, float]:
        """Return what devices say of their own recommendations: one by one, or under masks their sum alone."""
        list(self.configure_evaluate(number, ArrayRecord(), ConfigRecord(), self.questions.nodes.grid))
        if self.secure is None:
            told = dict(self.aggregate_evaluate(number, self.questions.send()) or {})
            return {name: float(value) for name, value in told.items() if isinstance(value, float)}
        for total, specs in self.questions.summed("evaluate", USERS_SUM, self.protection):
            self._count("evaluation-up-bytes", total.clients, answer_bytes(total, specs))
            self.student_quality = averaged(total.values["metrics"])
        return {f"student.{name}": found["mean"] for name, found in self.student_quality.items()}

    def _released_metrics(self, number: int, releases: Releases) -> dict[str, float]:
        """Return what one protected sum of all devices' metrics says of the student."""
        list(self.configure_evaluate(number, ArrayRecord(), ConfigRecord(), self.questions.nodes.grid))
        total = self._released(releases, number, METRICS_SUM, self.protection.spent(number, measured=True))
        return {} if total is None else quality(total, releases.protection)

    def _released(self, releases: Releases, number: int, plain: Mapping[str, Spec], spent: float) -> Answers | None:
        """Pay for the sum of the answers to the question that was just written, send it, and return that sum."""
        guard, paid = releases.protection, releases.pay(number)
        specs, answers = guard.specs(plain), list[Answered]()
        if len(paid.owners) and paid.kept is None:
            releases.tell(number, spent)
            answers = self.questions.answers(releases.kind, specs, guard)
        for part, form in answers:
            self._count(releases.counted, part.clients, answer_bytes(part, form))
        return releases.total(paid, merge([part for part, _ in answers], specs) if answers else None, specs)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Choose clients and write their asks, one message a node."""
        del arrays, config, grid
        chosen, state = self._sample(server_round), self.progress.state
        self._count("asked", chosen, 1)
        self._asks = self.protocol.ask(state, chosen, server_round, stream(state.setup.seed, "ask", server_round))
        return self.questions.write(self._asks, "train", "down-bytes")

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Check the answers, fold them into the state in a fixed order, and teach."""
        parts: list[Answers] = []
        state = self.progress.state
        for answers, specs in self.questions.read(replies, self._specs) if self._opened is None else self._opened:
            self._count("up-bytes", answers.clients, answer_bytes(answers, specs))
            self._count("answered", answers.clients, 1)
            if self.protection.active:
                parts = [merge([*parts, answers], specs)]
            else:
                state = self.protocol.pool(state, answers)
        if self.protection.active and self._paid is not None:
            if parts and len(parts[0].clients) < self.protection.quorum:
                self.questions.failures["too few answers for the noise"] += len(parts[0].clients)
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
        asks = self.protocol.deploy(self.progress.state, self.questions.connected, server_round)
        return self.questions.write(asks, "evaluate", "evaluation-down-bytes")

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Average the devices' metrics over users."""
        rows: list[Ragged] = []
        for answers, specs in self.questions.read(replies, lambda asks: DEVICE_METRICS):
            self._count("evaluation-up-bytes", answers.clients, answer_bytes(answers, specs))
            rows.append(answers.values["metrics"])
        if not rows:
            return None
        table = np.concatenate([ragged.values for ragged in rows]).astype(np.float64)
        self.per_user = PerUser(np.arange(len(table)), table)
        return MetricRecord({f"student.{name}": mean for name, mean in self.per_user.means().items()})

    def _specs(self, asks: Asks) -> Mapping[str, Spec]:
        return self.protection.specs(self.protocol.expects(asks))

    def _count(self, name: str, clients: NDArray[np.int64], amount: NDArray[np.int64] | int) -> None:
        self.progress = self.progress.counted(name, clients, amount)

    def _sample(self, server_round: int) -> NDArray[np.int64]:
        invited = self.protocol.invite(self.progress.state, self.questions.connected)
        quota = self.protection.participants
        if len(invited) <= quota:
            return invited
        rng = stream(self.progress.state.setup.seed, "sample", server_round)
        return np.sort(rng.choice(invited, quota, replace=False))

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
