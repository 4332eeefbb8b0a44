"""``python -m simulations.withdraw RUN CLIENT...``: clients leave a simulated run and take their contribution back."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from fedkd.cli.terminal import guarded, start
from fedkd.errors import UserError
from fedkd.report import render
from fedkd.runs.config import Config
from fedkd.runs.failures import UnansweredError, by_reason
from fedkd.runs.federation import Federation, federation
from fedkd.runs.folder import RunFolder
from server.people import FILE as FED
from server.progress import Progress
from server.run_writer import CHECKPOINT, RunWriter
from simulations.run import run

CHANGED = (CHECKPOINT, "config.toml", "rounds.jsonl", "summary.json")
"""The files of a run that a withdrawal changes before it has succeeded."""


def leave(folder: RunFolder, clients: list[int]) -> dict[int, str]:
    """Let clients take back what they contributed, in one more round, and teach the models without them.

    Returns
    -------
    dict of int to str
        The clients whose contribution is still in the sum, with the reason.

    Raises
    ------
    UserError
        As in ``withdraw``; the run is as it was.
    """
    asked = np.intersect1d(clients, contributors(folder)).tolist()
    try:
        with as_before_on_error(folder):
            config = withdraw(folder, clients)
            if not folder.finished:
                run(config, folder)
    except UnansweredError as error:
        return dict.fromkeys(asked, error.reasons)
    staying = np.intersect1d(clients, contributors(folder))
    reasons = by_reason(folder.rounds()[-1]["failures"])
    return dict.fromkeys(staying.tolist(), reasons)


def withdraw(folder: RunFolder, clients: list[int]) -> Config:
    """Mark clients as leaving, and return the configuration with one more round, in which they withdraw.

    Where none of them has contributed anything, the run stays finished, and no round is added.

    Raises
    ------
    UserError
        The run is not finished, a client does not exist, or the protocol cannot undo a contribution.
    """
    if (folder.path / FED).exists():
        raise UserError(
            f"{folder.path} has taken in the people of a service's log, who are not clients; withdraw from the run "
            "that it was made of, and give that the log again with python -m server.update"
        )
    config, progress = folder.config(), _progress(folder)
    registered = progress.state.setup.num_clients
    if not folder.finished:
        raise UserError(f"{folder.path} is not finished; first run python -m simulations.run --resume {folder.path}")
    if not all(0 <= client < registered for client in clients):
        raise UserError(
            f"clients are numbered 0..{registered - 1}; one of the given numbers is none of them, so change it"
        )
    leaving = np.unique(np.asarray(clients, np.int64))
    state = config.algorithm.withdraw(progress.state, leaving)
    RunWriter(folder, config).save(replace(progress, state=state))
    if not np.isin(leaving, config.algorithm.contributors(progress.state)).any():
        return config
    longer = config.model_copy(update={"num_server_rounds": progress.round + 1})
    folder.write_config(longer)
    (folder.path / "summary.json").unlink()
    return longer


def contributors(folder: RunFolder) -> NDArray[np.int64]:
    """Return the clients whose contributions a run's sum holds."""
    return folder.config().algorithm.contributors(_progress(folder).state)


def _progress(folder: RunFolder) -> Progress:
    config = folder.config()
    return RunWriter(folder, config).progress(federation(config).setup(config))


@contextmanager
def as_before_on_error(folder: RunFolder) -> Iterator[None]:
    """Put a run's files back if what changes them does not succeed."""
    with tempfile.TemporaryDirectory(dir=folder.path) as kept:
        there = [name for name in CHANGED if (folder.path / name).exists()]
        for name in there:
            shutil.copy2(folder.path / name, Path(kept) / Path(name).name)
        try:
            yield
        except BaseException:
            for name in there:
                shutil.copy2(Path(kept) / Path(name).name, folder.path / name)
            raise


def clients_of(users: Path, together: Federation) -> list[int]:
    """Return the clients of the users whose ids stand in a file, one a line, as the data has them.

    Raises
    ------
    UserError
        A line names no private user, or one of several users of a client, who cannot leave alone.
    """
    names = together.fold.train.users[together.private]
    number = {str(name): position for position, name in enumerate(names.tolist())}
    owners, out = together.partition.clients.row_index, list[int]()
    for line, text in enumerate(users.read_text(encoding="utf-8").splitlines(), 1):
        if (user := number.get(text.strip())) is None:
            raise UserError(f"{users}, line {line}: no private user of this run has this id; give one id a line")
        if (others := int((owners == owners[user]).sum()) - 1) > 0:
            raise UserError(
                f"{users}, line {line}: this user shares client {owners[user]} with {others} others, and only a whole "
                "client can leave; give its number if all of them do"
            )
        out.append(int(owners[user]))
    return out


@guarded
def main(
    folder: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    clients: Annotated[list[int] | None, typer.Argument(help="Numbers of the clients that leave.")] = None,
    users: Annotated[
        Path | None, typer.Option(help="A file with the leaving users' own ids, as the data has them, one a line.")
    ] = None,
) -> None:
    """Let clients take their contribution back in one more round, and teach teacher and student without them.

    It says of every client what was done; exit code 1 where a contribution could not be subtracted.
    """
    opened = RunFolder.open(folder.absolute())
    leaving = [*(clients or []), *(clients_of(users, federation(opened.config())) if users else [])]
    if not leaving:
        raise UserError("give the numbers of the clients that leave, or their users' ids with --users FILE")
    before = contributors(opened)
    staying = leave(opened, leaving)
    for client in sorted(set(leaving)):
        print(f"client {client}: {_said(client, staying, client in before)}")
    print(f"report: {render(opened.path)}")
    if staying:
        raise typer.Exit(1)


def _said(client: int, staying: dict[int, str], contributed: bool) -> str:
    if client in staying:
        return f"stays, and its contribution too: nothing was subtracted ({staying[client]})"
    return f"has left: {'its contribution was subtracted' if contributed else 'nothing of it was in the sum'}"


if __name__ == "__main__":
    start(main)
