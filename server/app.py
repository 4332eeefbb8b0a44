"""The ServerApp: reads the configuration, holds the teacher, runs the rounds and writes the run folder."""

from collections.abc import Callable
from pathlib import Path

import torch
from flwr.app import Context
from flwr.common.logger import log
from flwr.serverapp import Grid, ServerApp

from fedkd.config import Config, unflatten
from fedkd.evaluation.evaluator import PerUser, evaluate, model_scores
from fedkd.federation import Federation, federation, protection
from fedkd.models.base import Recommender
from fedkd.protocols.base import Setup
from fedkd.runs import RunFolder
from server.depot import read_setup
from server.record import Recorder
from server.strategy import Distillation

INFO, WARNING = 20, 30

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the federated distillation that the run configuration describes."""
    config = unflatten(context.run_config)
    torch.set_num_threads(config.runtime.threads)
    log(WARNING, "%s", config.privacy.statement)
    together = federation(config) if config.runtime.server_data is None else None
    setup = together.setup(config) if together is not None else deployed_setup(config)
    path = run_path(config, context.run_id)
    folder = RunFolder.open(path) if (path / "config.toml").exists() else RunFolder.create(path, config)
    recorder = Recorder(folder, config)
    guard = protection(config, setup.num_clients)
    strategy = Distillation(
        config.algorithm,
        recorder.progress(setup),
        guard,
        timeout=config.runtime.timeout_seconds,
        wait=config.runtime.wait_seconds,
        evaluate_every=config.evaluation.every,
        score=None if together is None else scorer(together),
        charge=lambda line: folder.append("privacy.jsonl", line),
        account=guard.account(*books(config, path)) if config.privacy.mode == "central" else None,
        run=folder.lines("privacy.jsonl")[0]["run"],
        sinks=(recorder.round,),
    )
    strategy.start(grid, num_rounds=config.num_server_rounds)
    recorder.finish(strategy)


def scorer(together: Federation) -> Callable[[Recommender], PerUser]:
    """Return a function that measures a model on the private users.

    Only a simulation has their data; no byte of it is counted.
    """
    return lambda model: evaluate(model_scores(model), together.fold, together.private)


def books(config: Config, run: Path) -> tuple[Path, str]:
    """Return where a trusted server keeps its ledger, and the name of the data there."""
    return (run, config.data.name) if config.runtime.server_data is None else (config.runtime.server_data, "depot")


def deployed_setup(config: Config) -> Setup:
    """Return what the server's own folder says of public users and registered clients."""
    assert config.runtime.server_data is not None
    return read_setup(config.runtime.server_data, config)


def run_path(config: Config, run_id: int) -> Path:
    """Return the run folder: the configured one, or one named after the Flower run."""
    return config.runtime.run_folder or Path.cwd() / "runs" / f"flower-{run_id}"
