"""The bytes that a run writes, from the files that its writers make of one cohort's first round."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from fedkd.messages.catalogue import catalogue_bytes
from fedkd.messages.records import dump_answers, dump_estimates
from fedkd.models.base import Recommender
from fedkd.privacy.budget import Budget
from fedkd.privacy.events import Cost
from fedkd.privacy.ledger import Ledger, data_key
from fedkd.protocols.base import State
from fedkd.runs.dry_simulation import DrySimulation
from fedkd.runs.folder import RunFolder
from fedkd.runs.machine import disk_usage
from fedkd.training.client_states import StateStore
from server.progress import Progress
from server.run_writer import TEACHER, clients_table

PAGE_BYTES, ROW_BYTES = 50_000, 7_000
"""About the bytes of a report and its summary without models, and of each model's part of both."""

LINE_BYTES = 500
"""About the bytes of a round's line."""


@dataclass(frozen=True)
class FolderSize:
    """The size of a run's folder.

    Attributes
    ----------
    simulation : DrySimulation
        A cohort that has played the first round.
    state : State
        The server's state after it.
    models : tuple of Recommender
        Teacher and student, as far as the protocol has them.
    """

    simulation: DrySimulation
    state: State
    models: tuple[Recommender, ...]

    @property
    def clients(self) -> int:
        """Clients of the run."""
        return self.simulation.together.partition.num_clients

    def written(self, often: int) -> int:
        """Return the bytes of a run without a report, whose clients answer a number of times."""
        catalogue = self.simulation.together.fold.train.catalogue
        return self.texts() + self.states(often) + self.ledger(often) + self.arrays() + catalogue_bytes(catalogue)

    def arrays(self) -> int:
        """Return the bytes of the checkpoint in the end, which leaves the teacher out, and of the models."""
        apart = f"{TEACHER}."
        state = sum(array.nbytes for name, array in self.state.arrays.items() if not name.startswith(apart))
        return state + sum(model.size()[1] for model in self.models)

    def replaced(self, rounds: int) -> int:
        """Return the bytes of the checkpoint beside which a newer one is written before it goes."""
        again = rounds > 1 or any(name.startswith(f"{TEACHER}.") for name in self.state.arrays)
        return sum(array.nbytes for array in self.state.arrays.values()) if again else 0

    def texts(self) -> int:
        """Return the bytes of the folder and its small files: configuration, machine, table of clients, lines."""
        table = clients_table(Progress.begin(self.state))

        def write(place: Path) -> None:
            folder = RunFolder.create(place / "run", self.simulation.config)
            folder.write_table("clients.parquet", table)
            for name in ("rounds.jsonl", "summary.json"):
                folder.append(name, {})

        return _written(write)

    def states(self, often: int) -> int:
        """Return the bytes of what all clients keep."""
        kept = self.simulation.kept

        def write(place: Path) -> None:
            for number in range(1, min(2, often) + 1):  # the state before a round stays beside the one after it
                StateStore(place).save(np.array([*kept], np.int64), [*kept.values()], number)

        return _written(write) * self.clients // len(self.simulation.clients)

    def ledger(self, often: int) -> int:
        """Return the bytes of the ledger in the folder: what is released, and a row for everyone who pays."""
        simulation, privacy = self.simulation, self.simulation.config.privacy
        server, clients = simulation.mechanism.server_pays, simulation.mechanism.client_pays
        accounts = int(clients) + int(privacy.student.epsilon is not None)
        if privacy.ledger is not None or not (server or accounts):
            return 0
        assert simulation.received is not None
        assert simulation.estimates is not None
        empty, own = _written(partial(_keep, record=b"", owners=[])), simulation.clients.tolist()
        releases = often * -(-self.clients // simulation.mechanism.participants) if server else 0
        sums = _written(partial(_keep, record=dump_estimates(simulation.estimates), owners=[-1])) - empty
        answers = _written(partial(_keep, record=dump_answers(simulation.received), owners=own)) - empty
        return empty + releases * sums + accounts * often * answers * self.clients // len(own)


def report_bytes(models: int, users: int, rounds: int) -> int:
    """Return about the bytes of a report and the tables beside it.

    Parameters
    ----------
    models : int
        Models that it shows.
    users : int
        Users on whom they are measured; each has a number of every model.
    rounds : int
        Rounds that it tells of.
    """
    return PAGE_BYTES + ROW_BYTES * models + 8 * users * (models + 1) + LINE_BYTES * rounds


def _keep(place: Path, record: bytes, owners: list[int]) -> None:
    """Pay for a release in a ledger, and store it."""
    ledger, keys = Ledger(place / "privacy.ledger"), [data_key("", str(owner)) for owner in owners]
    ledger.charge_all(keys, "release" * 10, Cost.of_gaussian(1.0), Budget(1e3, 1e-6), "mechanism" * 16)
    if keys:
        ledger.store(keys[0], "release" * 10, record)


def _written(write: Callable[[Path], None]) -> int:
    """Return the bytes of the disk that is written into an empty folder."""
    with tempfile.TemporaryDirectory() as place:
        write(Path(place))
        return disk_usage(Path(place)) - Path(place).lstat().st_blocks * 512
