"""A federation that is played in memory from the first round to the last: its models, its quality, its promise."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fedkd.errors import UserError
from fedkd.models.base import Recommender
from fedkd.models.device import use_device
from fedkd.models.threads import limited_threads
from fedkd.privacy.mechanisms.base import ANSWERS
from fedkd.protocols.base import State
from fedkd.protocols.rounds import Round
from fedkd.runs.config import Config
from fedkd.runs.dry_simulation import DrySimulation
from fedkd.runs.federation import Federation, federation

NO_LEDGER = (
    "A simulation in memory: all data lie in one process, nothing is sent, and no ledger keeps what is spent, so the "
    "next run begins with the whole budget again. For real clients the same configuration promises:"
)


@dataclass(frozen=True)
class FederatedRun:
    """A federation that was played in memory.

    Attributes
    ----------
    config : Config
        All settings.
    data : Federation
        Everyone's data: ``fold`` to measure on, and ``private``, the positions of the private users.
    state : State
        All that the server knows in the end.
    teacher, student : Recommender, optional
        The server's large model, and the global student; None where the protocol has none.
    rounds : DataFrame
        The protocol's own metrics, a row for every round, numbered from 1.
    epsilon : float, optional
        Budget that the answers spent; None where they are not protected.
    promise : str
        All that is promised of privacy, and what is not.
    """

    config: Config
    data: Federation
    state: State
    teacher: Recommender | None
    student: Recommender | None
    rounds: pd.DataFrame
    epsilon: float | None
    promise: str


def play(config: Config) -> FederatedRun:
    """Play all rounds with all clients; a ``UserError`` names what a run in memory cannot do."""
    _check(config)
    use_device(config.runtime.device)
    data = federation(config)
    simulation = DrySimulation(config, data, np.arange(data.partition.num_clients))
    with limited_threads(config.runtime.threads):
        return _finished(simulation, list(simulation.play()))


def _check(config: Config) -> None:
    """Refuse what only a run with messages and ledgers does."""
    if config.runtime.server_data is not None:
        raise UserError("this is a run of a real server, which python -m server begins; leave runtime.server-data out")
    asked = {
        "privacy.ledger": config.privacy.ledger,
        "privacy.panel-share": config.privacy.panel_share,
        "privacy.metrics-share": config.privacy.metrics_share,
    }
    if keys := ", ".join(key for key, value in asked.items() if value):
        raise UserError(
            f"a federation in memory keeps no ledger and makes no release but its rounds', so it cannot honour {keys}; "
            "leave it out, or save the configuration as a file and run python -m simulations.run FILE"
        )


def _finished(simulation: DrySimulation, rounds: list[Round]) -> FederatedRun:
    config, state, mechanism = simulation.config, rounds[-1].state, simulation.mechanism
    numbers = pd.RangeIndex(1, len(rounds) + 1, name="round")
    return FederatedRun(
        config,
        simulation.together,
        state,
        config.algorithm.teacher(state),
        config.algorithm.student(state),
        pd.DataFrame([dict(each.metrics) for each in rounds], index=numbers),
        mechanism.spent({ANSWERS: len(rounds)}) if mechanism.active else None,
        f"{NO_LEDGER} {config.promise}",
    )
