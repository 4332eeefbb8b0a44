"""``python -m server.update RUN --log FILE --out NEWRUN``: what a service heard from people teaches a run's models.

The people of the log join the run as clients whose work the server does for them, as it has seen their histories. They
answer the run's own question, who went on since an earlier log with the difference, and teacher and student are taught.
"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer

from fedkd.cli.terminal import guarded, say, start
from fedkd.data.catalogue import FILE as CATALOGUE
from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.runs.config import Config
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from fedkd.serving.feedback_reader import Heard, read_log
from fedkd.training.client_states import StateStore
from server.app import deployed_setup
from server.feedback_round import FeedbackRound
from server.people import STATES, read_people
from server.run_writer import RunWriter
from server.updated_run import write


@dataclass(frozen=True)
class Updated:
    """An update.

    Attributes
    ----------
    path : Path
        Folder of the new run.
    new, went_on : int
        People who were new, and known ones who answered again.
    lines : int
        Lines that were not known before.
    heard : Heard
        The log.
    """

    path: Path
    new: int
    went_on: int
    lines: int
    heard: Heard


def update(folder: RunFolder, log: Path, out: Path) -> Updated:
    """Update a finished run by a log of feedback, into a new run's folder.

    Raises
    ------
    UserError
        The run cannot be updated, its budget forbids it, or no line of the log can be used.
    """
    config, new = folder.config(), RunFolder(out.absolute())
    _check(folder, config)
    new.check_new()
    torch.set_num_threads(config.runtime.threads)
    heard = read_log(log, Catalogue.read(folder.path / CATALOGUE))
    known = read_people(folder)
    people = known.after(heard.lines)
    together = federation(config) if config.runtime.server_data is None else None
    setup = deployed_setup(config) if together is None else together.setup(config)
    before = RunWriter(folder, config).progress(setup)
    own = FeedbackRound(folder, config, people, before, _store(folder, new))
    begun = time.monotonic()
    played = own.play()
    write(own, played, new, time.monotonic() - begun, together)
    went_on = 0 if own.mechanism.active else len(people.went_on(known))
    return Updated(new.path, len(people) - len(known), went_on, len(people.lines) - len(known.lines), heard)


def _store(folder: RunFolder, new: RunFolder) -> StateStore:
    """Return the new run's store of people's states, with those of the old one."""
    if (folder.path / STATES).exists():
        shutil.copytree(folder.path / STATES, new.path / STATES, dirs_exist_ok=True)
    return StateStore(new.path / STATES)


def _check(folder: RunFolder, config: Config) -> None:
    """Refuse a run that no log can update, with a ``UserError``."""
    mechanism = config.privacy.mechanism
    if not folder.finished:
        raise UserError(f"{folder.path} has not finished; continue it with --resume {folder.path}")
    if mechanism.client_pays:
        raise UserError(
            f"in mode {mechanism.name} clients add noise before anybody sees their answers, and a log holds histories "
            "that the server has seen; feed it to a run of privacy.mode=central or none"
        )
    if mechanism.active and config.privacy.unit != "user":
        raise UserError(
            "this run protects silos, and a log holds people; feed it to a run of privacy.unit=user, with one user a "
            "client"
        )


@guarded
def main(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    log: Annotated[Path, typer.Option(help="The log of feedback of fedkd serve MODEL --feedback FILE.")],
    out: Annotated[Path, typer.Option(help="The folder of the updated run.")],
) -> None:
    """Let what people did with the lists of a service teach the models of a run, in a new run's folder.

    What was chosen joins the history that the list was made for, once and with equal weight. Propensities, places and
    what was shown in vain are not used: a history says what somebody had, however they found it, and weights would
    make sums inexact that can otherwise be taken back.
    """
    done = update(RunFolder.open(run.absolute()), log, out)
    for remark in done.heard.remarks():
        say(remark, style="yellow")
    say(f"{done.lines} new lines: {done.new} new people, {done.went_on} who went on")
    say(f"fedkd export {done.path} --out MODEL exports the student", whole=True)


if __name__ == "__main__":
    start(main)
