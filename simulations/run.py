"""``python -m simulations.run CONF``: a federated distillation in one process, from data to report."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from fedkd.cli.terminal import AGAIN, going_on, guarded, say, start
from fedkd.errors import UserError
from fedkd.evaluation.beyond import beyond_accuracy
from fedkd.evaluation.evaluator import PerUser
from fedkd.evaluation.metrics import METRICS
from fedkd.gate.requirements import STUDENT
from fedkd.lists.changes import changes
from fedkd.models.device import use_device
from fedkd.report import render
from fedkd.runs.config import Config, load
from fedkd.runs.failures import mending_divergence
from fedkd.runs.federation import Federation, federation
from fedkd.runs.folder import RunFolder
from fedkd.runs.machine import peak_memory
from fedkd.runs.watching import Watch
from simulations import analysis
from simulations.baseline_rows import baseline_rows
from simulations.compressing import check
from simulations.dry_run import forecast_cost
from simulations.forecast import forecast
from simulations.gate import LISTED, VALIDATION, Measured, judged, needs_own_run, validation_run
from simulations.room import check_room
from simulations.simulate import simulate
from simulations.terminal_summary import print_reasons, print_summary


def run(config: Config, folder: RunFolder, watch: Watch | None = None) -> dict[str, Any]:
    """Run a configuration into its folder, add the measurements that only a simulation can make, return the summary.

    Parameters
    ----------
    config : Config
        The run.
    folder : RunFolder
        Its folder.
    watch : callable, optional
        Is called with every round's record, and may raise an error that ends the run.
    """
    torch.set_num_threads(config.runtime.threads)
    use_device(config.runtime.device)
    begun, seen = time.monotonic(), Seen(watch)
    check_simulated(config)
    check(config)
    gate = _gate_of_validation(config) if needs_own_run(config) else None
    if not folder.finished:
        simulate(config, seen)
    summary, together = folder.summary(), federation(config)
    models = summary["models"]
    with mending_divergence(config.algorithm):
        federated = analysis.federated_models(config, together, folder)
        found = {name: analysis.lists_of(model, together, name) for name, model in federated.items()}
    for name in found:
        models[name] |= beyond_accuracy(found[name], together.fold.train) | analysis.served(federated[name], together)
    student, adjustment = federated.get(STUDENT), analysis.adjustment_of(config, folder)
    if adjustment.steps and student is not None:
        found[LISTED] = analysis.lists_of(student, together, LISTED, adjustment)
        models[LISTED] = analysis.row(student, found[LISTED], config, together, deployed=True, adjustment=adjustment)
        summary["lists"] = changes(found[STUDENT], found[LISTED], together.fold)
    baselines = baseline_rows(config, together, folder)
    if adjustment.steps and student is None:
        baselines.left_out[LISTED] = "lists.steps adjusts one student for all, and every client keeps its own"
    models |= baselines.models
    found |= baselines.lists
    summary |= {"left-out": baselines.left_out, "failed": baselines.failed | unmeasured(models)}
    summary["notes"] = baselines.notes
    models.setdefault("student", {}).update(analysis.agreed(found))
    summary |= analysis.compared(found, config, together) | {
        "data": describe_data(together),
        "split": describe_split(config, together),
    }
    summary["distillation"] = analysis.distillation(found, config, together)
    if config.gate.requirements:
        summary["gate"] = gate or judged(
            config, Measured(found, together, summary, seen.quality, adjustment).as_served(), student
        )
    summary["exchange"] = {"Clients' answers": SUMMED_HERE}
    summary["seconds"] = time.monotonic() - begun
    summary["speed"]["peak-memory-bytes"] = peak_memory()  # the server's own count ends before the baselines
    folder.write_table("users.parquet", analysis.users_table(found, together))
    folder.write_json("summary.json", summary)
    return summary


@dataclass
class Seen:
    """Observations of the rounds of a run.

    Attributes
    ----------
    watch : callable, optional
        Sees them, too.
    quality : PerUser, optional
        The student's quality as the devices told it last.
    """

    watch: Watch | None = None
    quality: PerUser | None = None

    def __call__(self, record: Mapping[str, Any], quality: PerUser | None) -> None:
        """Remember the latest quality."""
        self.quality = quality or self.quality
        if self.watch is not None:
            self.watch(record, quality)


def _gate_of_validation(config: Config) -> dict[str, Any]:
    """Return the gate's decision from a run on the validation part, before anything is measured on the test part."""
    assert config.runtime.run_folder is not None
    folder = RunFolder(config.runtime.run_folder / VALIDATION)
    own = validation_run(config, folder.path)
    folder.check(own)
    known = folder.summary().get("gate") if folder.finished else None
    gate = known or run(own, folder)["gate"]
    folder.forget_models()
    return dict(gate)


def unmeasured(models: dict[str, Any]) -> dict[str, str]:
    """Return what is said of a student that has no number."""
    measured = METRICS[0] in models.get("student", {})
    return {} if measured else {"student": "no client measured it after the last round"}


SUMMED_HERE = (
    "Summed inside each simulated node, for all the clients it hosts, before the server saw them; "
    "bytes are those of every client's own message."
)


def check_simulated(config: Config) -> None:
    """Refuse a run of a real server, with a ``UserError``: its ledger is not for simulated clients."""
    if config.runtime.server_data is not None:
        raise UserError(
            "this is a run of a real server, which python -m server begins and continues; to simulate one, leave "
            "runtime.server-data out"
        )


def describe_split(config: Config, together: Federation) -> dict[str, str]:
    """Return the summary's part about the split."""
    return {
        "fingerprint": together.split.fingerprint,
        "kind": config.split.kind,
        "target": config.evaluation.target,
    }


def describe_data(together: Federation) -> dict[str, Any]:
    """Return the summary's part about the data."""
    interactions = together.loaded.interactions
    return {
        "fingerprint": interactions.fingerprint,
        "users": interactions.num_users,
        "items": interactions.num_items,
        "interactions": len(interactions),
        "public-users": len(together.partition.public),
        "private-users": len(together.private),
        "clients": together.partition.num_clients,
        "dropped": together.loaded.dropped | together.split.dropped,
    }


@guarded
def main(
    conf: Annotated[Path | None, typer.Argument(help="The configuration (TOML).")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, overrides the file.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; runs/NAME-TIME by default.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the run in this folder.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Predict bytes, time and memory; run nothing.")] = False,
    predict: Annotated[
        bool,
        typer.Option("--forecast", help="Predict what the budget costs in quality, on synthetic data; run nothing."),
    ] = False,
) -> None:
    """Run a federated distillation in this process, ending in a table and a report."""
    if dry_run or predict:
        if conf is None or resume is not None:
            raise UserError("--dry-run and --forecast predict a run before it begins; give its CONF, and no --resume")
        planned = load(conf, overrides or [])
        lines = dry_lines(planned) if dry_run else []
        for line in [*lines, *([forecast(planned, federation(planned)).line()] if predict else [])]:
            say(line)
        return
    config, folder = _open(conf, overrides or [], out, resume)
    with going_on(lambda: resuming(folder)):
        summary = run(config, folder)
    report = render(folder.path)
    print_summary(summary, config, folder.path)
    say(f"report: {report}", whole=True)
    print_reasons(summary)
    if summary["failed"]:
        raise typer.Exit(1)


def dry_lines(planned: Config) -> list[str]:
    """Return what a run costs, and the run on the validation part that its gate needs."""
    lines = forecast_cost(planned, federation(planned)).lines(planned)
    if not needs_own_run(planned):
        return lines
    own = validation_run(planned, Path(VALIDATION))
    return [*lines, "and the gate's own run on the validation part:", *forecast_cost(own, federation(own)).lines(own)]


def resuming(folder: RunFolder) -> str:
    """Return how to go on with a simulation that is stopped."""
    begun = (folder.path / "config.toml").exists()
    return f"go on with python -m simulations.run --resume {folder.path}" if begun else AGAIN


def _open(conf: Path | None, overrides: list[str], out: Path | None, resume: Path | None) -> tuple[Config, RunFolder]:
    """Return the configuration and folder of a new run, or of the one to continue."""
    if resume is not None:
        if conf is not None or overrides or out is not None:
            raise UserError("--resume continues a run with its own configuration; leave CONF, --set and --out out")
        folder = RunFolder.open(resume.absolute())
        return folder.config(), folder
    if conf is None:
        raise UserError("give a configuration, for example simulations/conf/quickstart.toml, or --resume DIR")
    config = load(conf, overrides)
    path = (out or Path("runs") / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}").absolute()
    config = load(conf, [*overrides, f"runtime.run-folder={json.dumps(str(path))}"])
    check_simulated(config)
    folder = RunFolder(path)
    folder.check_new()
    check_room(config, federation(config), path)
    return config, folder  # made by the server, when nothing is left that could refuse the run


if __name__ == "__main__":
    start(main)
