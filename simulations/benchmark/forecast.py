"""Forecasts of ``--dry-run`` beside the cost of the runs, for six configurations."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from fedkd.cli.terminal import guarded
from fedkd.errors import UserError
from fedkd.report import render
from fedkd.runs.config import load
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from fedkd.runs.machine import disk_usage
from simulations.dry_run import forecast_cost
from simulations.run import run

CONF = Path(__file__).parents[1] / "conf"

WIDE = "wide"
"""Name of the configuration whose table is made here: few users, many items."""

CASES: dict[str, tuple[str, ...]] = {
    "quickstart": ("quickstart.toml",),
    "ml100k": ("ml100k.toml",),
    WIDE: ("custom.toml", 'evaluation.baselines=["popularity","ease","public-teacher","local-only"]'),
    "fedavg": ("quickstart.toml", "algorithm.name=fedavg", "num-server-rounds=3"),
    "fedmd": ("quickstart.toml", "algorithm.name=fedmd", "num-server-rounds=2"),
    "central": ("quickstart.toml", "privacy.mode=central", "privacy.epsilon=8", "privacy.delta=1e-4"),
}
"""File and overrides of every configuration."""

ONE_THREAD = ("runtime.threads=1",)
"""Several threads that wait for each other on a busy machine would count as work of the processor."""

UNITS = {"memory": 1e6, "disk": 1e6, "bytes": 1e3, "seconds": 1.0, "processor": 1.0}
"""The quantities compared, in MB, kB and seconds; the processor's own seconds count where other programs share it."""


@guarded
def main(
    only: Annotated[list[str] | None, typer.Argument(help=f"Some of: {', '.join(CASES)}; all by default.")] = None,
    data: Annotated[Path | None, typer.Option(help="The folder of MovieLens-100K, for ml100k.")] = None,
) -> None:
    """Foretell the cost of runs, run them, and print both."""
    for name in only or CASES:
        if name not in CASES:
            raise UserError(f"no configuration {name}; it is one of {', '.join(CASES)}")
        with tempfile.TemporaryDirectory() as place:
            settings = [str(CONF / CASES[name][0]), *CASES[name][1:], *ONE_THREAD, *_data(name, data, Path(place))]
            told, real = (_apart(kind, settings, Path(place) / "run") for kind in ("foretell", "play"))
        for what, unit in UNITS.items():
            shares = f"{told[what] / max(real[what], 1e-9):.2f}"
            print(f"{name:<12}{what:<9}{told[what] / unit:>12,.1f}{real[what] / unit:>12,.1f}{shares:>8}", flush=True)


def foretell(settings: list[str], folder: Path) -> dict[str, float]:
    """Return what a dry run says; its processor's seconds are those foretold, less what other programs took of it."""
    del folder
    config = load(Path(settings[0]), settings[1:])
    together, begun, worked = federation(config), time.monotonic(), time.process_time()
    found = forecast_cost(config, together)
    share = (time.process_time() - worked) / (time.monotonic() - begun)
    return {
        "memory": found.memory,
        "disk": found.disk,
        "bytes": found.bytes_per_client,
        "seconds": found.total_seconds,
        "processor": found.total_seconds * share,
    }


def play(settings: list[str], folder: Path) -> dict[str, float]:
    """Return what the run costs."""
    config = load(Path(settings[0]), [*settings[1:], f"runtime.run-folder={json.dumps(str(folder))}"])
    federation(config)
    begun, worked = time.monotonic(), time.process_time()
    summary = run(config, RunFolder(folder))
    render(folder)
    spent = summary["traffic"]
    return {
        "memory": summary["speed"]["peak-memory-bytes"],
        "disk": disk_usage(folder),
        "bytes": spent["total-up-bytes-per-client"] + spent["total-down-bytes-per-client"],
        "seconds": time.monotonic() - begun,
        "processor": time.process_time() - worked,
    }


def _apart(kind: str, settings: list[str], folder: Path) -> dict[str, Any]:
    """Return the result of a function in a process of its own, so that memory is counted from the start."""
    code = "import json, sys; from pathlib import Path; from simulations.benchmark import forecast as f; "
    code += f"print('RESULT', json.dumps(f.{kind}(json.loads(sys.argv[1]), Path(sys.argv[2]))))"
    command = [sys.executable, "-c", code, json.dumps(settings), str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise UserError(f"{kind} failed: {done.stderr.strip()[-2000:]}")
    return dict(json.loads(lines[-1].removeprefix("RESULT ")))


def _data(name: str, movielens: Path | None, place: Path) -> list[str]:
    """Return the override that names a configuration's data, which are written first where they are made up."""
    if name == "ml100k" and movielens is not None:
        return [f"data.path={json.dumps(str(movielens.absolute()))}"]
    if name != WIDE:
        return []
    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(200), 80), (4000 * rng.random(16000) ** 3).astype(int)
    path = place / "wide.csv"
    pd.DataFrame({"user": users, "item": items}).drop_duplicates().to_csv(path, index=False)
    return [f"data.path={json.dumps(str(path))}"]
