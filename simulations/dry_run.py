"""The dry run, in which one cohort plays the first round without messages, to predict the cost of the whole run."""

import time
from dataclasses import dataclass, field

import numpy as np

from fedkd.messages.catalogue import catalogue_bytes
from fedkd.messages.flower import answer_bytes, ask_bytes
from fedkd.messages.types import Asks, Estimates
from fedkd.protocols.rounds import play_round
from fedkd.runs.config import Config
from fedkd.runs.dry_simulation import DrySimulation
from fedkd.runs.federation import Federation
from server.run_writer import peak_memory


@dataclass(frozen=True)
class CostForecast:
    """The predicted cost of a whole run.

    Attributes
    ----------
    clients, asked : int
        Registered clients, and those asked in a round at most.
    up, down : float
        Bytes of one answer and one ask, serialised, the mean of a cohort.
    seconds, teaching_seconds : float
        Seconds of all rounds on this machine, at most, for the clients' training and the server's teaching; evaluation
        is not included.
    memory : int
        Resident bytes of this process after one cohort's round.
    noise : float
        Standard deviation of the noise on a round's sum, over the clip; 0 where none is added.
    catalogue : int
        Bytes of the message that brings the catalogue to a device, once.
    """

    clients: int
    asked: int
    up: float
    down: float
    seconds: float
    teaching_seconds: float
    memory: int
    noise: float
    catalogue: int

    def lines(self, config: Config) -> list[str]:
        """Return the forecast as sentences."""
        rounds = config.num_server_rounds
        return [
            f"{self.clients:,} clients, at most {self.asked:,} in each of {rounds} rounds: {config.algorithm.name}",
            f"bytes: {self.up:,.0f} up in an answer, {self.down:,.0f} down in an ask; evaluation comes on top",
            f"bytes: {self.catalogue:,} down once, the catalogue",
            f"time: about {self.seconds:,.1f} s of training, {self.teaching_seconds:,.1f} s of teaching in a process",
            f"memory: {self.memory / 1e9:.2f} GB after one cohort",
            *([f"noise on a round's sum: {self.noise:.3g} times the clip"] if self.noise else []),
            config.promise,
        ]


def forecast_cost(config: Config, together: Federation) -> CostForecast:
    """Let one cohort play the first round, send nothing, and predict the run from it."""
    sample = np.arange(min(config.runtime.cohort_size, together.partition.num_clients))
    watched = _Watched(DrySimulation(config, together, sample))
    mechanism = watched.simulation.mechanism
    played = play_round(config.algorithm, watched.simulation.begin(), 1, sample, len(sample), watched.collect)
    asked, rounds = mechanism.participants, config.num_server_rounds
    return CostForecast(
        clients=together.partition.num_clients,
        asked=asked,
        up=watched.up,
        down=watched.down,
        seconds=watched.seconds / len(sample) * asked * rounds,
        teaching_seconds=played.teaching_seconds * rounds,
        memory=peak_memory(),
        noise=mechanism.noise,
        catalogue=catalogue_bytes(together.fold.train.catalogue),
    )


@dataclass
class _Watched:
    """A simulation of one cohort, with the bytes and the seconds of its answers."""

    simulation: DrySimulation
    up: float = field(default=0.0)
    down: float = field(default=0.0)
    seconds: float = field(default=0.0)

    def collect(self, asks: Asks) -> Estimates | None:
        """Let the cohort answer, and measure it."""
        simulation, begun = self.simulation, time.monotonic()
        aggregator = simulation.mechanism.aggregator(simulation.config.algorithm.expects(asks))
        encoded = aggregator.encode(simulation.learnt(asks))
        self.seconds = time.monotonic() - begun
        self.up = float(answer_bytes(encoded, aggregator.specs).mean())
        self.down = float(ask_bytes(asks).mean())
        return aggregator.decode(encoded)
