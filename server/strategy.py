"""The round loop on the server: one Flower strategy for every protocol and every runtime."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result
from numpy.typing import NDArray

from fedkd.aggregation.aggregator import Specs
from fedkd.distillation.item_popularity import PANEL as ITEMS
from fedkd.distillation.item_popularity import panel_spec, probable_popularity
from fedkd.evaluation.device import METRICS_SUM, USERS_SUM, estimated
from fedkd.evaluation.evaluator import PerUser
from fedkd.messages.missing import Failure, Missing
from fedkd.messages.records import load_estimates
from fedkd.messages.types import Asks, Estimates
from fedkd.models.base import Recommender
from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.protocols.base import Protocol
from fedkd.protocols.rounds import play_round, remaining
from fedkd.runs.failures import clients, mending_divergence, unanswered, unreached
from server.catalogue import CatalogueExchange
from server.device_quality import check_failures, quality_of_rows, quality_of_sum
from server.node_registry import NodeRegistry
from server.own_rounds import OwnRounds
from server.progress import Progress, Record, round_record
from server.release_plan import BYTES, ReleasePlan
from server.requests import Requests
from server.secure import SecureExchange

INFO, WARNING = 20, 30


@dataclass
class Distillation(OwnRounds):
    """Federated distillation by the four verbs of a protocol.

    Attributes
    ----------
    protocol : Protocol
        The protocol.
    progress : Progress
        The progress so far; a resumed run begins with a saved one.
    training : ReleasePlan
        Protection of the answers, and the account that pays for it.
    panel : ReleasePlan, optional
        The one release, before the first round, of the items that clients have; else public users show what is popular.
    metrics : ReleasePlan, optional
        The one release of metrics under protection; without it devices then report no metrics.
    timeout, wait : float
        Seconds until an answer counts as missing, and for all clients to connect.
    evaluate_every : int
        Rounds between evaluations on the devices; 0 for the last round only.
    score : callable, optional
        Measures the teacher on private users, which only a simulation can, and under protection the student, whose own
        metrics would be one more release; it does not count as traffic.
    secure : SecureExchange, optional
        Shows the server only the sum of the answers; every node must then host one client, and prove it.
    catalogue : CatalogueExchange, optional
        Sends the catalogue to nodes that lack it; a simulation's nodes have it.
    sinks : tuple of callable
        Called with each round's record and the progress after it.
    per_user, teacher_per_user : PerUser, optional
        The latest evaluation of student and teacher, users in the order of their clients.
    student_quality : dict of str to dict
        The same of the student where devices report only sums: means and intervals.
    quality : dict of str to float
        The student's quality from the release of metrics.
    """

    protocol: Protocol
    progress: Progress
    training: ReleasePlan
    panel: ReleasePlan | None = None
    metrics: ReleasePlan | None = None
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
    _requests: Requests | None = None
    _ended: bool = False

    @property
    def mechanism(self) -> Mechanism:
        """The noise of every answer."""
        return self.training.mechanism

    @property
    def requests(self) -> Requests:
        """The clients, once the run has started."""
        if self._requests is None:
            raise RuntimeError("clients are asked after start")
        return self._requests

    def summary(self) -> None:
        """Log the protocol and the sizes of the run."""
        setup, asked = self.progress.state.setup, self.mechanism.participants
        log(INFO, "\t├── protocol: %s", self.protocol.name)
        log(INFO, "\t├── clients: %d, asked in a round: %d", setup.num_clients, asked)
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

        Flower carries a model in arrays and configuration records. Here the protocol's state is the model, so
        ``initial_arrays`` and the three last parameters are not used. ``timeout`` replaces the strategy's own if given.
        """
        del initial_arrays, train_config, evaluate_config, evaluate_fn
        known = self.secure.directory if self.secure else None
        nodes = NodeRegistry(grid, self.progress.state.setup.num_clients, timeout or self.timeout, known)
        self._requests = Requests(nodes, self._count, self.secure, self.catalogue, self.training.run)
        self._requests.connect(self.wait)
        self.summary()
        result = Result()
        self._ended = self.progress.round > 0 and (self.progress.round >= num_rounds or self._ends())
        with mending_divergence(self.protocol):
            if self._ended:  # it was stopped after its last round
                self._evaluated(self.progress.round)
            while not self._ended:
                record = self._round(self.progress.round + 1, num_rounds)
                result.train_metrics_clientapp[record["round"]] = MetricRecord({"answers": record["answers"]})
                result.evaluate_metrics_serverapp[record["round"]] = MetricRecord(dict(record["metrics"]))
        return result

    def _ends(self) -> bool:
        """Return whether no client is left to be asked, after waiting for those that are not connected."""
        left = remaining(self.protocol, self.progress.state)
        if not len(left) or self.requests.reaches(left, self.wait):
            return not len(left)
        log(WARNING, "not connected, and without a contribution: %s", clients(len(left)))
        return True

    def _round(self, number: int, num_rounds: int) -> Record:
        """Play a round, evaluate, and call the sinks; an error if everybody who was asked failed."""
        begun, before = time.monotonic(), self.progress
        self.requests.failures.clear()
        if number > 1:
            self.requests.look_again()
            self.requests.reaches(remaining(self.protocol, self.progress.state), self.wait)
        elif self.panel is not None:
            self._choose_panel(self.panel)
        reached, most = self.requests.connected, self.mechanism.participants
        played = play_round(self.protocol, self.progress.state, number, reached, most, self._collect)
        trained = time.monotonic() - begun
        self.progress = replace(
            self.progress,
            state=played.state,
            round=number,
            seconds=self.progress.seconds + trained,
            teaching_seconds=self.progress.teaching_seconds + played.teaching_seconds,
        )
        self._ended = number >= num_rounds or self._ends()
        if self._ended and number < num_rounds:
            log(INFO, "no client has more to contribute: the run ends after round %d of %d", number, num_rounds)
        metrics = dict(played.metrics)
        if self._ended or (self.evaluate_every and number % self.evaluate_every == 0):
            metrics |= self._evaluated(number)
        if self._ended and self.metrics is not None:
            self.quality = self._released_metrics(number + 1, self.metrics)
        failures = {str(failure): count for failure, count in self.requests.reasons.items()}
        record = round_record(before, self.progress, failures, metrics | self.quality, trained)
        if self.mechanism.active:
            guarantee = self.mechanism.guarantee
            record |= {
                "epsilon": self.mechanism.spent(self.progress.releases),
                "epsilon-planned": guarantee.budget[0],
                **guarantee.conditions,
            }
        for sink in self.sinks:
            sink(record, self.progress)
        return record

    def _collect(self, asks: Asks) -> Estimates | None:
        """Return the estimates from a round's answers."""
        if not len(asks.clients) and len(remaining(self.protocol, self.progress.state)):
            raise unreached(asks.round, self.wait)
        before = self.progress.releases
        found = self._released(self.training, asks, self.protocol.expects(asks))
        if found is None and self.requests.exhausted():
            self.progress = replace(self.progress, releases=before)  # it cost nobody anything
        elif found is None and self.requests.failures:
            raise unanswered(asks.round, self.requests.reasons)
        return found

    def _released(self, plan: ReleasePlan, asks: Asks, plain: Specs, number: int | None = None) -> Estimates | None:
        """Pay for a release, ask for it, and estimate; None if the budget forbids it or nobody answers.

        A release that was made before the run was interrupted is read from the ledger, and nobody is asked.
        """
        number = asks.round if number is None else number
        paid = plan.pay(number)
        if paid.refused:
            self.requests.fail(asks.clients, Failure(Missing.EXHAUSTED))
            return None
        self.progress = self.progress.released(plan.kind)
        if paid.kept is not None:
            return load_estimates(paid.kept)
        down, up = BYTES[plan.kind]
        if plan is self.training:
            self._count("asked", asks.clients, 1)
        self.requests.write(asks, plan.message, down)
        plan.announce(number, self.mechanism.spent(self.progress.releases))
        aggregator = plan.aggregator(plain, masked=self.secure is not None)
        total = self.requests.total(plan.message, aggregator, up)
        if total is None:
            return None
        if plan is self.training:
            self._count("answered", total.clients, 1)
        if len(total.clients) < aggregator.quorum:
            self.requests.fail(total.clients, Failure(Missing.TOO_FEW))
            return None
        return plan.estimates(paid, aggregator, total)

    def _choose_panel(self, plan: ReleasePlan) -> None:
        """Begin the protocol with the items' popularity, estimated from one protected sum."""
        setup = self.progress.state.setup
        asks = Asks(0, self.requests.connected, {"items": np.array([setup.public.num_items])})
        found = self._released(plan, asks, panel_spec(setup.public.num_items), number=1)
        if found is not None:
            total = found.values[ITEMS]
            popularity = probable_popularity(total.value, setup.public, setup.num_private_users, total.std)
            self.progress = replace(self.progress, state=self.protocol.begin(replace(setup, popularity=popularity)))

    def _released_metrics(self, number: int, plan: ReleasePlan) -> dict[str, float]:
        """Return the student's quality from one protected sum of all devices' metrics."""
        asks = self.protocol.deploy(self.progress.state, self.requests.connected, number)
        found = self._released(plan, asks, METRICS_SUM)
        total = None if found is None else found.values["metrics"]
        told = {} if total is None else estimated(total.value, total.std)
        return {f"student.private.{name}": value for name, value in told.items()}

    def _evaluated(self, number: int) -> dict[str, float]:
        """Return the metrics of devices, and those of a simulation."""
        self.per_user, self.student_quality = None, {}  # a number of an earlier round is none of this one
        own = {} if self.mechanism.active else self._device_metrics(number)
        if self.mechanism.active:
            self.requests.hand_out(self.protocol.deploy(self.progress.state, self.requests.connected, number))
        return own | self._measured()

    def _device_metrics(self, number: int) -> dict[str, float]:
        """Return the mean of the devices' own metrics; under masks the server sees only their sum."""
        before = len(self.requests.failures)
        self.configure_evaluate(number, ArrayRecord(), ConfigRecord(), self.requests.nodes.grid)
        if self.secure is None:
            self.aggregate_evaluate(number, self.requests.send())
        else:
            self.student_quality = quality_of_sum(self.requests, self.training.aggregator(USERS_SUM, masked=True))
        if self.per_user is None and not self.student_quality:
            check_failures(self.requests, before, number)
        of_sum = {name: found["mean"] for name, found in self.student_quality.items()}
        means = of_sum if self.per_user is None else self.per_user.means()
        return {f"student.{name}": mean for name, mean in means.items()}

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return messages with everything that connected clients need to recommend."""
        del arrays, config, grid
        asks = self.protocol.deploy(self.progress.state, self.requests.connected, server_round)
        return self.requests.write(asks, "evaluate", "evaluation-down-bytes")

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Average the devices' metrics over users."""
        self.per_user = quality_of_rows(self.requests, replies)
        means = {} if self.per_user is None else self.per_user.means()
        return MetricRecord({f"student.{name}": mean for name, mean in means.items()}) if means else None

    def _count(self, name: str, clients: NDArray[np.int64], amount: NDArray[np.int64] | int) -> None:
        self.progress = self.progress.counted(name, clients, amount)

    def _measured(self) -> dict[str, float]:
        """Measure the teacher in a simulation, and the student where devices may not report its metrics."""
        state, metrics = self.progress.state, dict[str, float]()
        if self.score is None:
            return metrics
        if (teacher := self.protocol.teacher(state)) is not None:
            self.teacher_per_user = self.score(teacher)
            metrics |= {f"teacher.{name}": mean for name, mean in self.teacher_per_user.means().items()}
        if self.mechanism.active and (student := self.protocol.student(state)) is not None:
            self.per_user = self.score(student)
            metrics |= {f"student.{name}": mean for name, mean in self.per_user.means().items()}
        return metrics
