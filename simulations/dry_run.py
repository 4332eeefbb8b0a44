"""The dry run, in which one cohort plays the first round without messages, to predict the cost of the whole run."""

from dataclasses import dataclass

import numpy as np
import torch

from fedkd.evaluation.device import DEVICE_METRICS
from fedkd.messages.catalogue import catalogue_bytes
from fedkd.messages.flower import answer_bytes, ask_bytes
from fedkd.messages.types import Asks, Estimates
from fedkd.models.base import Recommender
from fedkd.models.threads import limited_threads
from fedkd.models.watching import shown_by
from fedkd.protocols.base import State
from fedkd.protocols.rounds import play_round
from fedkd.runs.config import Config
from fedkd.runs.dry_simulation import DrySimulation
from fedkd.runs.federation import Federation
from fedkd.runs.machine import peak_memory
from simulations.calibration import Beginning, Stopwatch, fitting, rating, resampling
from simulations.folder_size import FolderSize, report_bytes

STARTING = 1.0
"""Seconds that a run takes beside its stages: messages, files and the report."""


@dataclass(frozen=True)
class CostForecast:
    """The predicted cost of a whole run.

    Attributes
    ----------
    clients, asked : int
        Registered clients, and those asked in a round at most.
    up, down : float
        Bytes of one answer and one ask, serialised, the mean of a cohort.
    evaluation : float
        Bytes of one evaluation for a client, both ways; 0 where devices report no metrics.
    rounds, evaluations : int
        How many there are of both; a round in which nobody has anything left to contribute does not count.
    answers : int
        Answers of all clients in all rounds.
    seconds : dict of str to float
        Seconds on this machine as it is now, by stage: ``training``, ``teaching``, ``evaluation``, and each baseline.
    memory : int
        The largest resident memory of the process, in bytes.
    disk, disk_at_most : int
        Bytes of the disk that the run's folder takes in the end, and while the run goes on.
    noise : float
        Standard deviation of the noise on a round's sum, over the clip; 0 where none is added.
    catalogue : int
        Bytes of the message that brings the catalogue to a device, once.
    """

    clients: int
    asked: int
    up: float
    down: float
    evaluation: float
    rounds: int
    answers: int
    evaluations: int
    seconds: dict[str, float]
    memory: int
    disk: int
    disk_at_most: int
    noise: float
    catalogue: int

    @property
    def total_seconds(self) -> float:
        """Seconds of all stages."""
        return STARTING + sum(self.seconds.values())

    @property
    def bytes_per_client(self) -> float:
        """Bytes that one client sends and receives in the whole run, the catalogue left out."""
        return (self.up + self.down) * self.answers / self.clients + self.evaluation * self.evaluations

    def lines(self, config: Config) -> list[str]:
        """Return the forecast as sentences."""
        stages = ", ".join(f"{name} {seconds:,.1f}" for name, seconds in self.seconds.items())
        asked = f"at most {self.asked:,} in each of {self.rounds} rounds"
        parts = f"{self.up:,.0f} up in an answer, {self.down:,.0f} down in an ask, {self.evaluation:,.0f} an evaluation"
        return [
            f"{self.clients:,} clients, {asked}: {config.algorithm.name}",
            f"bytes: {parts}; {self.bytes_per_client:,.0f} of a client in the whole run",
            f"bytes: {self.catalogue:,} down once, the catalogue",
            f"time: about {self.total_seconds:,.0f} s ({stages})",
            f"memory: {self.memory / 1e9:.2f} GB at most",
            f"disk: {self.disk / 1e6:,.1f} MB in the end, {self.disk_at_most / 1e6:,.1f} MB at most",
            *([f"noise on a round's sum: {self.noise:.3g} times the clip"] if self.noise else []),
            config.promise,
        ]


def forecast_cost(config: Config, together: Federation) -> CostForecast:
    """Let one cohort play the first round with the run's threads, send nothing, and predict the run from it."""
    torch.set_num_threads(config.runtime.threads)
    with limited_threads(config.runtime.threads):
        return _forecast_cost(config, together)


def _forecast_cost(config: Config, together: Federation) -> CostForecast:
    cohort = Rehearsal.of(config, together)
    mechanism, clients = cohort.simulation.mechanism, together.partition.num_clients
    every, asked = config.evaluation.every, mechanism.participants
    answers = min(config.num_server_rounds * asked, config.algorithm.releases(config.num_server_rounds) * clients)
    rounds = -(-answers // asked)
    evaluations = -(-rounds // every) if every else 1
    seconds = {
        "training": cohort.learning * answers / len(cohort.simulation.clients),
        "teaching": cohort.teaching * rounds,
        "evaluation": cohort.evaluated(evaluations),
    }
    memory, size = peak_memory(), cohort.size()
    fits = {name: fitting(name, config, together, cohort.teaching) for name in config.evaluation.baselines}
    seconds |= {name: fit.seconds for name, fit in fits.items()}
    shown = len(cohort.models()) + sum(fit.seconds > 0 for fit in fits.values())
    own = size.written(-(-answers // clients)) + report_bytes(shown, len(together.private), rounds)
    most = max((fit.disk_at_most - fit.disk for fit in fits.values()), default=0)
    disk = own + sum(fit.disk for fit in fits.values())
    return CostForecast(
        clients=clients,
        asked=asked,
        up=cohort.up,
        down=cohort.down,
        evaluation=0.0 if mechanism.active else cohort.evaluation_bytes,
        rounds=rounds,
        answers=answers,
        evaluations=evaluations,
        seconds=seconds,
        memory=max(memory, peak_memory(), *(fit.memory for fit in fits.values())),
        disk=disk,
        disk_at_most=max(disk + most, own + size.replaced(rounds)),
        noise=mechanism.noise,
        catalogue=catalogue_bytes(together.fold.train.catalogue),
    )


@dataclass
class Rehearsal:
    """The first round of one cohort, its evaluation, and what both cost.

    Attributes
    ----------
    simulation : DrySimulation
        The cohort.
    state : State
        The server's state after the round.
    learning, teaching, measuring : float
        Seconds: of the cohort's answers, of the teaching, and of the cohort's own evaluation.
    up, down, evaluation_bytes : float
        Bytes for a client: its answer, the ask, and an evaluation both ways.
    """

    simulation: DrySimulation
    state: State
    learning: float = 0.0
    teaching: float = 0.0
    measuring: float = 0.0
    up: float = 0.0
    down: float = 0.0
    evaluation_bytes: float = 0.0

    @classmethod
    def of(cls, config: Config, together: Federation) -> "Rehearsal":
        """Play the round with the first clients, as many as are computed together; long trainings only begin."""
        sample = np.arange(min(config.runtime.cohort_size, together.partition.num_clients))
        simulation = DrySimulation(config, together, sample)
        found = cls(simulation, simulation.begin())
        beginning = Beginning()
        with shown_by(beginning):
            played = play_round(config.algorithm, found.state, 1, sample, len(sample), found._collect)
        found.state, found.teaching = played.state, played.teaching_seconds + beginning.spared
        found._evaluate()
        return found

    def _collect(self, asks: Asks) -> Estimates | None:
        """Let the cohort answer, and measure it."""
        simulation = self.simulation
        aggregator = simulation.mechanism.aggregator(simulation.config.algorithm.expects(asks))
        watch = Stopwatch()
        encoded = simulation.encoded(asks, aggregator)
        self.learning = watch.seconds()
        if self.learning < 1.0:  # the first time is slower than all others
            watch = Stopwatch()
            again = DrySimulation(simulation.config, simulation.together, simulation.clients)
            again.encoded(asks, aggregator)
            self.learning = watch.seconds()
        self.up = float(answer_bytes(encoded, aggregator.specs).mean())
        self.down = float(ask_bytes(asks).mean())
        simulation.received, simulation.estimates = encoded, aggregator.decode(encoded)
        return simulation.estimates

    def _evaluate(self) -> None:
        """Let the cohort measure the student, and measure that."""
        simulation, protocol = self.simulation, self.simulation.config.algorithm
        asks = protocol.deploy(self.state, simulation.clients, 1)
        watch = Stopwatch()
        told = simulation.measured(asks)
        self.measuring = watch.seconds()
        self.evaluation_bytes = float(ask_bytes(asks).mean() + answer_bytes(told, DEVICE_METRICS).mean())

    def models(self) -> list[Recommender]:
        """Return teacher and student, as far as the protocol has them."""
        protocol = self.simulation.config.algorithm
        return [model for model in (protocol.teacher(self.state), protocol.student(self.state)) if model is not None]

    def evaluated(self, evaluations: int) -> float:
        """Return the seconds of all evaluations of teacher and student, during the rounds and after them."""
        together, models = self.simulation.together, self.models()
        devices = self.measuring * together.partition.num_clients / len(self.simulation.clients)
        central = [rating(model, together) for model in models]
        teacher = central[0] if len(central) > 1 else 0.0
        # Tables by slices of users and items resample four times as much as a row does.
        return (devices + teacher) * evaluations + sum(central) + 6 * len(models) * resampling(together)

    def size(self) -> FolderSize:
        """Return the size of the run's folder."""
        return FolderSize(self.simulation, self.state, tuple(self.models()))
