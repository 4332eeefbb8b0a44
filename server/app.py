"""The ServerApp, which reads the configuration, runs the rounds and writes the run folder."""

import secrets
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import overload

import numpy as np
import torch
from flwr.app import Context
from flwr.common.logger import log
from flwr.serverapp import Grid, ServerApp
from numpy.typing import NDArray

from fedkd.cli.log import say_mistakes_in_words
from fedkd.cli.progress import tracked
from fedkd.errors import UserError
from fedkd.evaluation.evaluator import PerUser, measure_lists, model_scores, recommend
from fedkd.models.base import Recommender
from fedkd.models.device import use_device
from fedkd.models.watching import shown_by
from fedkd.privacy.mechanisms.base import ANSWERS, METRICS, PANEL, Mechanism
from fedkd.protocols.base import Setup
from fedkd.runs.config import Config, unflatten
from fedkd.runs.federation import Federation, federation, mechanisms
from fedkd.runs.folder import RunFolder, run_path
from fedkd.runs.watching import tell
from fedkd.secure_aggregation import Directory
from fedkd.secure_aggregation.identities import read_directory
from server.catalogue import catalogue_exchange, counted_once, write_once
from server.data import read_setup
from server.release_plan import ReleasePlan
from server.run_writer import RunWriter
from server.secure import SecureExchange
from server.strategy import Distillation

INFO, WARNING = 20, 30

app = ServerApp()
say_mistakes_in_words()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the federated distillation that the run configuration describes."""
    config = unflatten(context.run_config)
    torch.set_num_threads(config.runtime.threads)
    use_device(config.runtime.device)
    warn_once(config.promise)
    together = federation(config) if config.runtime.server_data is None else None
    setup = together.setup(config) if together is not None else deployed_setup(config)
    directory = masked_directory(config, setup)
    folder = RunFolder(run_path(config, context.run_id))
    folder.check(config)
    writer = RunWriter(folder, config, profiles(config, together))
    with shown_by(tracked):
        progress = writer.progress(setup)
    RunFolder.at(folder.path, config)  # made when nothing is left that could refuse the run
    write_once(folder.path, setup.public.catalogue)
    planned = mechanisms(config, setup.num_clients)
    plans = {kind: release_plan(config, planned.of(kind), kind, folder) for kind in (PANEL, METRICS)}
    strategy = Distillation(
        config.algorithm,
        progress if together is None else counted_once(progress),
        release_plan(config, planned.answers, ANSWERS, folder),
        plans[PANEL],
        plans[METRICS],
        timeout=config.runtime.timeout_seconds,
        wait=config.runtime.wait_seconds,
        evaluate_every=config.evaluation.every,
        score=None if together is None else scorer(together),
        secure=None if directory is None else secure_exchange(config, directory, folder),
        catalogue=catalogue_exchange(config, setup),
        sinks=(writer.round, lambda record, _: tell(record, strategy.per_user)),
    )
    with shown_by(tracked):
        strategy.start(grid, num_rounds=config.num_server_rounds)
    writer.finish(strategy)


@cache
def warn_once(promise: str) -> None:
    """Log what is promised of privacy; the baselines of a run, in the same process, do not repeat it."""
    log(WARNING, "%s", promise)


@overload
def release_plan(config: Config, mechanism: Mechanism, kind: str, folder: RunFolder) -> ReleasePlan: ...
@overload
def release_plan(config: Config, mechanism: None, kind: str, folder: RunFolder) -> None: ...
def release_plan(config: Config, mechanism: Mechanism | None, kind: str, folder: RunFolder) -> ReleasePlan | None:
    """Return the plan of one kind of release, which logs to the run folder; the server pays where clients do not."""
    if mechanism is None:
        return None
    account = mechanism.account(*books(config, folder.path)) if mechanism.server_pays else None
    return ReleasePlan(mechanism, kind, account, folder.run, lambda line: folder.append("privacy.jsonl", line))


def scorer(together: Federation) -> Callable[[Recommender], PerUser]:
    """Return a function that measures a model on the private users.

    Only a simulation has their data. This evaluation adds nothing to the byte counts.
    """

    def score(model: Recommender) -> PerUser:
        lists = recommend(
            model_scores(model), together.fold, together.private, watch=lambda s: tracked(s, len(s), "evaluation")
        )
        return measure_lists(lists, together.fold.target)

    return score


def profiles(config: Config, together: Federation | None) -> NDArray[np.str_] | None:
    """Return the device profile of every simulated client, where they have some; None where the server knows none."""
    if together is None or not config.clients.profiles:
        return None
    return together.profiles(np.arange(together.partition.num_clients), config)


def masked_directory(config: Config, setup: Setup) -> Directory | None:
    """Return everyone's public keys where the server may see only sums of real clients; else None.

    Raises
    ------
    UserError
        There are fewer clients in a round than a secure sum needs, or no directory of their public keys.
    """
    privacy, data = config.privacy, config.runtime.server_data
    if not privacy.masked or (data is None and not config.algorithm.masks()):
        return None
    asked = mechanisms(config, setup.num_clients).answers.participants
    if asked < privacy.minimum_cohort:
        few = (
            f"a round asks {asked} clients, and privacy.minimum-cohort is {privacy.minimum_cohort}: ask more, or set "
            f"--set privacy.minimum-cohort={max(2, asked)} if the server may see a sum of so few"
        )
        if data is not None:
            raise UserError(few)
        log(WARNING, "real clients would answer no question of this run: %s", few)
    return None if data is None else read_directory(data)


def secure_exchange(config: Config, directory: Directory, folder: RunFolder) -> SecureExchange:
    """Return the exchange that shows the server only sums, as one more attempt at the folder's run."""
    attempt = secrets.token_hex(4)
    limits = (config.privacy.minimum_cohort, config.runtime.timeout_seconds)
    return SecureExchange(directory, folder.run, attempt, *limits)


def books(config: Config, run: Path) -> tuple[Path, str]:
    """Return the folder of a trusted server's ledger, and the name of the data in it."""
    return (run, config.data.name) if config.runtime.server_data is None else (config.runtime.server_data, "depot")


def deployed_setup(config: Config) -> Setup:
    """Return the setup in the server's own folder: public users and registered clients."""
    assert config.runtime.server_data is not None
    return read_setup(config.runtime.server_data, config)
