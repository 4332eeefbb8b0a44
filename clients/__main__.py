"""``python -m clients DATA``: run one client's SuperNode on the data folder of its owner."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from clients.device import read_device
from clients.policy import ClientPolicy, mode_named
from fedkd.cli.terminal import going_on, guarded, start
from fedkd.errors import UserError
from fedkd.privacy.budget import Budget
from fedkd.runs.processes import end, environment, tied
from fedkd.runs.reach import Address


@dataclass(frozen=True)
class Connection:
    """A client's way to its server.

    Attributes
    ----------
    server : Address
        The server's address.
    certificates : Path, optional
        Folder with the server's ``ca.crt``; without it there is no TLS.
    key : Path, optional
        The node's private key.
    trusted : Path, optional
        YAML file of public keys: only programs signed with one of them run here.
    """

    server: Address
    certificates: Path | None = None
    key: Path | None = None
    trusted: Path | None = None

    @property
    def authority(self) -> Path | None:
        """The certificate from which the server's own must come."""
        return None if self.certificates is None else self.certificates / "ca.crt"

    def check(self) -> None:
        """Refuse files that do not exist, with a ``UserError``."""
        missing = [path for path in (self.authority, self.key) if path and not path.is_file()]
        if missing:
            raise UserError(
                f"{missing[0]} does not exist; make it with python -m simulations.deployment.certificates DIR"
            )
        if self.trusted is not None and not self.trusted.is_file():
            raise UserError(f"--trusted-entities {self.trusted} is no file; give a YAML file of ids and public keys")


def supernode(data: Path, way: Connection, policy: ClientPolicy) -> list[str]:
    """Return the command of a SuperNode that reads only ``data``, keeps its state there, and follows a policy."""
    node_config = f'data-path="{data.absolute()}" {policy.node_config()}'
    command = [*tied("clients.supernode"), "--superlink", str(way.server)]
    command += ["--node-config", node_config, "--max-wait-time", f"{SILENCE:g}"]
    command += ["--trusted-entities", str(way.trusted.absolute())] if way.trusted else []
    if way.authority is None:
        return [*command, "--insecure"]
    command += ["--root-certificates", str(way.authority.absolute())]
    return [*command, *(["--auth-supernode-private-key", str(way.key.absolute())] if way.key else [])]


def keep_connected(command: Callable[[], list[str]], env: dict[str, str], way: Connection, patience: float) -> None:
    """Run a SuperNode until this process is stopped; whenever it ends it is started again, with growing pauses.

    It ends when the server stops, or refuses it: because its key is not registered yet, or because it was killed and
    has not missed its heartbeats.

    Raises
    ------
    UserError
        The server could not be reached, or refused the node, for ``patience`` seconds; the message says why.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    pause, deadline = FIRST_PAUSE, time.monotonic() + patience
    while True:
        trouble = way.server.trouble(way.authority)
        if not trouble:
            begun = time.monotonic()
            _run(command(), env)
            if time.monotonic() - begun > STEADY:
                pause, deadline = FIRST_PAUSE, time.monotonic() + patience
            trouble = f"the server at {way.server} stopped, or refused this client: has it the client's public key?"
        left = deadline - time.monotonic()
        if left <= 0:
            raise UserError(f"no connection for {patience:.0f} s: {trouble}")
        pause = min(pause, left)
        print(f"not connected: {trouble}; trying again in {pause:.0f} s", flush=True)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


FIRST_PAUSE, LONGEST_PAUSE = 2.0, 15.0
"""Seconds between two attempts, at first and at most."""

SILENCE = 30.0
"""Seconds without an answer after which a SuperNode has lost the server."""

STEADY = 60.0
"""A node that ran longer than this, in seconds, was accepted."""


def _run(command: list[str], env: dict[str, str]) -> None:
    """Run a program in this process group, so that a signal to the group ends both."""
    process = subprocess.Popen(command, env=env, umask=0o077)  # what it writes is its owner's alone
    try:
        process.wait()
    finally:
        end(process)


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
    allow_module: Annotated[
        list[str] | None,
        typer.Option(
            help="A module of your own, or a package with all in it, from which a run may name its protocol and other "
            "classes; may be given again."
        ),
    ] = None,
    patience: Annotated[
        float, typer.Option(help="Seconds to go on trying while the server does not answer, or refuses.", min=0)
    ] = 300.0,
) -> None:
    """Connect a client and serve the runs of the server until stopped."""
    if (certificates is None) != insecure:
        raise UserError("give either --certificates DIR or --insecure, not both and not neither")
    if (epsilon is None) != (delta is None):
        raise UserError("--epsilon and --delta make one budget; give both, for example --epsilon 4 --delta 1e-5")
    if adaptive and epsilon is None:
        raise UserError("--adaptive says how a budget is counted; give --epsilon and --delta too")
    budget = None if epsilon is None or delta is None else Budget(epsilon, delta, adaptive=adaptive)
    own_mode = [weakest_mode.partition(":")[0]] if ":" in weakest_mode else []
    modules = (*(allow_module or ()), *own_mode)
    policy = ClientPolicy(budget, mode_named(weakest_mode), minimum_cohort, allow_clear, modules)
    way = Connection(Address.parse(superlink, "--superlink"), certificates, key, trusted_entities)
    way.check()
    print(f"client {read_device(data).client} connects to {way.server}", flush=True)
    with going_on(lambda: "the same command connects this client again, with its state"):
        keep_connected(lambda: supernode(data, way, policy), environment(data / "flower"), way, patience)


if __name__ == "__main__":
    start(main)
