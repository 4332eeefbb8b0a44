"""``python -m simulations.withdraw RUN CLIENT...``: clients leave a simulated run and take their contribution back."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from fedkd.cli.terminal import guarded, start
from fedkd.errors import UserError
from fedkd.report import render
from fedkd.runs.config import Config
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from server.run_writer import RunWriter
from simulations.run import run


def withdraw(folder: RunFolder, clients: list[int]) -> Config:
    """Mark clients as leaving, and return the configuration with one more round, in which they withdraw.

    Raises
    ------
    UserError
        The run is not finished, a client does not exist, or the protocol cannot undo a contribution.
    """
    config = folder.config()
    writer = RunWriter(folder, config)
    progress = writer.progress(federation(config).setup(config))
    registered = progress.state.setup.num_clients
    if not folder.finished:
        raise UserError(f"{folder.path} is not finished; continue it with python -m simulations.run --resume first")
    if not all(0 <= client < registered for client in clients):
        raise UserError(f"clients are numbered 0..{registered - 1}, it got {clients}")
    leaving = np.unique(np.asarray(clients, np.int64))
    state = config.algorithm.withdraw(progress.state, leaving)
    writer.save(replace(progress, state=state))
    longer = config.model_copy(update={"num_server_rounds": progress.round + 1})
    folder.write_config(longer)
    (folder.path / "summary.json").unlink()
    return longer


@guarded
def main(
    folder: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    clients: Annotated[list[int], typer.Argument(help="Numbers of the clients that leave.")],
) -> None:
    """Let clients take their contribution back in one more round, and teach teacher and student without them."""
    opened = RunFolder.open(folder.absolute())
    config = withdraw(opened, clients)
    run(config, opened)
    print(f"clients {sorted(set(clients))} have left; report: {render(opened.path)}")


if __name__ == "__main__":
    start(main)
