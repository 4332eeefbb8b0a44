"""``python -m clients DATA``: run one client's SuperNode on the data folder of its owner."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from clients.device import read_device
from clients.policy import ClientPolicy, mode_named
from fedkd.cli.terminal import going_on, guarded, start
from fedkd.errors import UserError
from fedkd.privacy.budget import Budget
from fedkd.runs.processes import environment, free_port, program


def supernode(
    data: Path, superlink: str, certificates: Path | None, key: Path | None, trusted: Path | None, policy: ClientPolicy
) -> list[str]:
    """Return the command of a SuperNode that reads only ``data``, keeps its state there, and follows a policy."""
    node_config = f'data-path="{data.absolute()}" {policy.node_config()}'
    command = [program("flower-supernode"), "--superlink", superlink, "--port", str(free_port())]
    command += ["--node-config", node_config]
    command += ["--trusted-entities", str(trusted.absolute())] if trusted else []
    if certificates is None:
        return [*command, "--insecure"]
    command += ["--root-certificates", str((certificates / "ca.crt").absolute())]
    return [*command, *(["--auth-supernode-private-key", str(key.absolute())] if key else [])]


def keep_connected(command: Callable[[], list[str]], env: dict[str, str], patience: float) -> None:
    """Run a SuperNode until stopped; after an error it is started again, with growing pauses.

    The server refuses a node whose key is not registered yet. After a node was killed, the server refuses it until it
    has missed its heartbeats, for about a minute. Flower's program ends when it is refused.

    Raises
    ------
    UserError
        The server refused the node for ``patience`` seconds.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    pause, deadline = FIRST_PAUSE, time.monotonic() + patience
    while True:
        begun = time.monotonic()
        code = _run(command(), env)
        if code == 0:
            return
        if time.monotonic() - begun > STEADY:
            pause, deadline = FIRST_PAUSE, time.monotonic() + patience
        if time.monotonic() + pause > deadline:
            raise UserError(
                f"the server did not accept this client for {patience:.0f} s (code {code}); is it running, and is the "
                "client's public key registered there?"
            )
        print(f"not connected (code {code}); trying again in {pause:.0f} s", flush=True)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


FIRST_PAUSE, LONGEST_PAUSE = 2.0, 15.0
"""Seconds between two attempts, at first and at most."""

STEADY = 60.0
"""A node that ran longer than this, in seconds, was accepted."""


def _run(command: list[str], env: dict[str, str]) -> int:
    """Run a program in this process group, so that a signal to the group ends both, and return its exit code."""
    process = subprocess.Popen(command, env=env)
    try:
        return process.wait()
    finally:
        process.terminate()
        process.wait()


@guarded
def main(
    data: Annotated[Path, typer.Argument(help="The client's data folder.")],
    superlink: Annotated[str, typer.Option(help="host:port of the server.")] = "127.0.0.1:8443",
    certificates: Annotated[Path | None, typer.Option(help="Folder with the server's ca.crt.")] = None,
    key: Annotated[Path | None, typer.Option(help="This node's private key.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="No TLS and no node authentication.")] = False,
    trusted_entities: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of public keys: run only programs signed with one of them; by default the server's."
        ),
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Most that all runs together may ever learn from this client.", min=0)
    ] = None,
    delta: Annotated[float | None, typer.Option(help="With --epsilon; below 1 / clients.", min=0, max=1)] = None,
    adaptive: Annotated[
        bool,
        typer.Option("--adaptive", help="With --epsilon: runs may differ in the kind of their noise and training."),
    ] = False,
    weakest_mode: Annotated[
        str,
        typer.Option(
            help="Answer in this privacy mode or a stronger one: none, central, distributed, local, or your own as "
            "package.module:Class."
        ),
    ] = "none",
    minimum_cohort: Annotated[
        int, typer.Option(help="Fewest clients whose sum may be opened, whatever the server says.", min=2)
    ] = ClientPolicy.minimum_cohort,
    allow_clear: Annotated[
        bool,
        typer.Option(
            "--allow-clear",
            help="Answer without masks too: the server sees this client's own answer. With --epsilon, mode local does.",
        ),
    ] = False,
    patience: Annotated[float, typer.Option(help="Seconds to go on trying while the server refuses.", min=0)] = 300.0,
) -> None:
    """Connect a client and serve the runs of the server until stopped."""
    if (certificates is None) != insecure:
        raise UserError("give either --certificates DIR or --insecure, not both and not neither")
    if (epsilon is None) != (delta is None):
        raise UserError("--epsilon and --delta make one budget; give both, for example --epsilon 4 --delta 1e-5")
    if adaptive and epsilon is None:
        raise UserError("--adaptive says how a budget is counted; give --epsilon and --delta too")
    budget = None if epsilon is None or delta is None else Budget(epsilon, delta, adaptive=adaptive)
    policy = ClientPolicy(budget, mode_named(weakest_mode), minimum_cohort, allow_clear)
    device = read_device(data)
    print(f"client {device.client} connects to {superlink}", flush=True)
    missing = [path for path in (certificates and certificates / "ca.crt", key) if path and not path.exists()]
    if missing:
        raise UserError(f"{missing[0]} does not exist; make it with python -m simulations.deployment.certificates DIR")
    if trusted_entities is not None and not trusted_entities.is_file():
        raise UserError(f"--trusted-entities {trusted_entities} is no file; give a YAML file of ids and public keys")

    def command() -> list[str]:
        return supernode(data, superlink, certificates, key, trusted_entities, policy)

    with going_on(lambda: "the same command connects this client again, with its state"):
        keep_connected(command, environment(data / "flower"), patience)


if __name__ == "__main__":
    start(main)
