"""What a run will cost, before anything is sent: one cohort answers, and its bytes and seconds are multiplied."""

import time
from dataclasses import dataclass

import numpy as np

from fedkd.aggregation.release import release
from fedkd.messages.catalogue import catalogue_bytes
from fedkd.messages.flower import answer_bytes, ask_bytes
from fedkd.random_streams import stream
from fedkd.runs.config import Config
from fedkd.runs.federation import Federation, protection
from fedkd.training.cohort import Cohort
from server.run_writer import peak_memory


@dataclass(frozen=True)
class Plan:
    """Predictions for a whole run.

    Attributes
    ----------
    clients, asked : int
        Registered clients, and those asked in a round at most.
    up, down : float
        Bytes of one answer and one ask, serialised, the mean of a cohort.
    seconds : float
        Of all rounds on this machine, at most; teaching and evaluation come on top.
    memory : int
        Resident bytes of this process after one cohort's work.
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
    memory: int
    noise: float
    catalogue: int

    def lines(self, config: Config) -> list[str]:
        """Return the plan as sentences."""
        rounds = config.num_server_rounds
        return [
            f"{self.clients:,} clients, at most {self.asked:,} in each of {rounds} rounds: {config.algorithm.name}",
            f"bytes: {self.up:,.0f} up in an answer, {self.down:,.0f} down in an ask; evaluation comes on top",
            f"bytes: {self.catalogue:,} down once, the catalogue",
            f"time: about {self.seconds:,.1f} s of training in this process; teaching and evaluation come on top",
            f"memory: {self.memory / 1e9:.2f} GB after one cohort",
            *([f"noise on a round's sum: {self.noise:.3g} times the clip"] if self.noise else []),
            config.promise,
        ]


def plan(config: Config, together: Federation) -> Plan:
    """Let one cohort answer the first ask, send nothing, and predict the run from it."""
    protocol, setup = config.algorithm, together.setup(config)
    state = protocol.begin(setup)
    asked = setup.participants
    sample = np.arange(min(config.runtime.cohort_size, setup.num_clients))
    asks = protocol.ask(state, sample, 1, stream(config.seed, "ask", 1))
    owner, data = together.held_by(sample)
    begun = time.monotonic()
    _, answers = protocol.learn(Cohort(sample, owner, data, config.seed, ({},) * len(sample)), asks)
    guard = protection(config, setup.num_clients)
    specs = guard.specs(protocol.expects(asks))
    released = release(answers, specs, guard)
    seconds = (time.monotonic() - begun) / len(sample) * asked * config.num_server_rounds
    up, down = answer_bytes(released, specs).mean(), ask_bytes(asks).mean()
    catalogue = catalogue_bytes(setup.public.catalogue)
    return Plan(setup.num_clients, asked, float(up), float(down), seconds, peak_memory(), guard.noise, catalogue)
