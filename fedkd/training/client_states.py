"""The store of clients' states between rounds: named arrays by client, on disk and never all in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fedkd.atomic_file import replacing
from fedkd.errors import UserError
from fedkd.training.cohort import ClientState


@dataclass(frozen=True)
class StateStore:
    """A folder with one file per client and round.

    The state before a round is kept until the client has saved a later round. So a round that is repeated, for example
    after a crash, begins from the same state and ends in the same result.

    Attributes
    ----------
    folder : Path
        The folder of the files; made when a state is first saved.
    """

    folder: Path

    def load(self, clients: NDArray[np.int64], before_round: int) -> tuple[ClientState, ...]:
        """Return each client's state from its latest round before ``before_round``; empty at first.

        Raises
        ------
        UserError
            A file is damaged.
        """
        return tuple(self._load_one(int(client), before_round) for client in clients)

    def save(self, clients: NDArray[np.int64], states: Sequence[ClientState], round_number: int) -> None:
        """Save each client's state after a round; an empty state leaves no file.

        A device, which has one client, waits for its disk; a simulation, which can be repeated, does not.
        """
        for client, state in zip(clients, states, strict=True):
            rounds = self._rounds(int(client))
            if state:
                self._save_one(int(client), state, round_number, synced=len(clients) == 1)
            earlier = [kept for kept in rounds if kept < round_number]
            for old in set(rounds) - {round_number, max(earlier, default=round_number)}:
                self._path(int(client), old).unlink(missing_ok=True)

    def _load_one(self, client: int, before_round: int) -> ClientState:
        rounds = [kept for kept in self._rounds(client) if kept < before_round]
        if not rounds:
            return {}
        path = self._path(client, max(rounds))
        try:
            return dict(load_file(path))
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"the state of client {client} in {path} cannot be read ({error}); "
                "restore it from a backup, or delete it to let the client begin anew"
            ) from None

    def _save_one(self, client: int, state: ClientState, round_number: int, synced: bool) -> None:
        path = self._path(client, round_number)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, synced) as new:
            save_file({name: np.asarray(array, order="C") for name, array in state.items()}, new)

    def _rounds(self, client: int) -> list[int]:
        return [int(path.stem) for path in self._home(client).glob("*.safetensors")]

    def _home(self, client: int) -> Path:
        return self.folder / str(client)

    def _path(self, client: int, round_number: int) -> Path:
        return self._home(client) / f"{round_number}.safetensors"
