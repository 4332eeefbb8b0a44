"""The in-process grid beside Flower's simulation engine: the same ClientApp, clients and metrics, timed in one run."""

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from fedkd.cli.terminal import guarded, start
from fedkd.errors import UserError
from fedkd.runs.config import load
from fedkd.runs.folder import RunFolder
from fedkd.runs.processes import environment, free_port, program
from simulations.simulate import simulate

ROOT = Path(__file__).resolve().parents[2]


def settings(clients: int, folder: Path, *more: str) -> list[str]:
    """Return the overrides of one run: as many one-user clients, and a tenth as many public users."""
    users = -(-clients * 10 // 9)
    size = [f"data.synthetic.users={users}", "data.synthetic.items=1682", "data.synthetic.mean-history=85"]
    public = f"partition.public-fraction={(users - clients) / users:.8f}"
    return [*size, public, f"runtime.run-folder={json.dumps(str(folder))}", "evaluation.baselines=[]", *more]


def in_process(clients: int, folder: Path) -> dict[str, Any]:
    """Run in this process and return the summary."""
    config = load(None, settings(clients, folder))
    created = RunFolder.create(folder, config)
    simulate(config)
    return created.read_json("summary.json")


def on_ray(clients: int, folder: Path, home: Path) -> dict[str, Any]:
    """Run on Flower's engine with one client a node and return the summary; its daemon is ended afterwards."""
    env = environment(home, {"FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(free_port())})
    given = " ".join(part.replace('"', "") for part in settings(clients, folder, "runtime.wait-seconds=900"))
    command = [program("flwr"), "run", str(ROOT), "--stream", "-c", f"overrides='{given}'"]
    command += ["--federation-config", f"num-supernodes={clients} client-resources-num-cpus=1"]
    try:
        done = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, check=False)
    finally:
        end_daemon(home)
    if not (folder / "summary.json").exists():
        raise UserError(f"Flower's engine did not finish:\n{(done.stdout + done.stderr)[-2000:]}")
    return RunFolder(folder).read_json("summary.json")


def end_daemon(home: Path) -> None:
    """End the processes whose Flower settings lie in ``home``: ``flwr run`` leaves a SuperLink behind."""
    wanted = f"FLWR_HOME={home.absolute()}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            mine = wanted in (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mine and int(process.name) != os.getpid():
            os.kill(int(process.name), signal.SIGKILL)


@guarded
def main(
    clients: Annotated[int, typer.Option(help="One-user clients; on Flower's engine each is a node.", min=2)] = 943,
) -> None:
    """Print client-rounds per second of both engines, and their ratio."""
    with tempfile.TemporaryDirectory() as scratch:
        ours = in_process(clients, Path(scratch) / "in-process")
        rays = on_ray(clients, Path(scratch) / "ray", Path(scratch) / "flower")
    speed = {name: run["speed"]["client-rounds-per-second"] for name, run in (("in process", ours), ("Ray", rays))}
    for name, run in (("in process", ours), ("Ray", rays)):
        quality = run["models"]["student"]["ndcg@20"]["mean"]
        taught = run["speed"]["teaching-seconds-per-round"]
        print(
            f"{name:>10}: {speed[name]:10.1f} client-rounds per second, "
            f"teaching {taught:.2f} s besides, student NDCG@20 {quality:.4f}"
        )
    print(f"ratio: {speed['in process'] / speed['Ray']:.1f}")


if __name__ == "__main__":
    start(main)
