"""``python -m server CONF``: start a SuperLink and run one federated distillation with the clients that connect."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import tomli_w
import typer

from fedkd.cli.terminal import going_on, guarded, start
from fedkd.errors import UserError
from fedkd.runs.config import Config, flower_settings, load
from fedkd.runs.folder import RunFolder
from fedkd.runs.processes import GRACE, end, environment, program, running, tied
from fedkd.runs.reach import Address

PROJECT = Path(__file__).resolve().parents[1]
CONNECTION, DATABASE = "fedkd", "state.db"
TLS = {"--ssl-ca-certfile": "ca.crt", "--ssl-certfile": "server.pem", "--ssl-keyfile": "server.key"}
PORT = 8443


def serve(config: Config, address: Address, certificates: Path | None) -> None:
    """Start the SuperLink, admit the nodes whose public keys lie beside the certificates, run, and stop the SuperLink.

    A run that was interrupted continues from its last round. The SuperLink begins afresh each time, for it would
    remember messages that nobody waits for any longer.

    Raises
    ------
    UserError
        The run has finished already, the SuperLink could not start, or the run failed; the message names the log with
        the reason.
    """
    folder = config.runtime.run_folder
    assert folder is not None
    _check(config, folder, address, certificates)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started ends with it
    env, log = environment(folder / "flower"), folder / "superlink.log"
    _write_connection(folder / "flower" / "config.toml", address, certificates)
    for left in (folder / "flower").glob(f"{DATABASE}*"):
        left.unlink()
    with running(_superlink(folder, address, certificates), env, log) as superlink:
        _wait_for(superlink, address, certificates, log)
        if keys := _keys(certificates):
            _register(keys, env)
        print(f"serving on {address}; clients may connect now", flush=True)
        _play(config, superlink, env, folder / "flower" / "run.toml")
    if not (folder / "summary.json").exists():  # Flower's own exit code is 0 even if the run failed
        raise UserError(f"the run did not finish; the lines above and {log} say why. The same command goes on with it")


def _play(config: Config, superlink: "subprocess.Popen[bytes]", env: dict[str, str], settings: Path) -> None:
    """Let the SuperLink play the run, and show what the ServerApp says, until one of them ends."""
    settings.write_text(tomli_w.dumps(flower_settings(config)), encoding="utf-8")
    command = [program("flwr"), "run", str(PROJECT), CONNECTION, "--stream", "-c", str(settings)]
    shown = subprocess.Popen(command, env=env)
    try:
        while shown.poll() is None and superlink.poll() is None:
            time.sleep(0.2)
    finally:
        end(shown)


def _check(config: Config, folder: Path, address: Address, certificates: Path | None) -> None:
    """Refuse, before anything starts, what cannot work."""
    if config.privacy.masked and not config.algorithm.masks():
        raise UserError(
            f"the server needs every single answer of {config.algorithm.name}, so they cannot be masked; choose "
            "another algorithm, or show them with --set privacy.sums=clear"
        )
    if (folder / "summary.json").exists():
        raise UserError(f"the run in {folder} has finished; begin another one with another --out")
    lacking = [certificates / name for name in TLS.values()] if certificates else []
    if lacking := [path for path in lacking if not path.is_file()]:
        raise UserError(f"{lacking[0]} does not exist; make it with python -m simulations.deployment.certificates DIR")
    deadline = time.monotonic() + GRACE  # a server that was killed a moment ago still ends what it started
    while not address.is_free():
        if time.monotonic() > deadline:
            raise UserError(f"--address {address} is taken by another program; end it, or choose another port")
        time.sleep(0.2)


def _superlink(folder: Path, address: Address, certificates: Path | None) -> list[str]:
    command = [*tied("server.superlink"), "--host", address.host, "--port", str(address.port)]
    command += ["--database", str((folder / "flower" / DATABASE).absolute())]
    command += ["--disable-runtime-dependency-installation"]
    if certificates is None:
        return [*command, "--insecure"]
    for option, name in TLS.items():
        command += [option, str((certificates / name).absolute())]
    return [*command, "--enable-supernode-auth"]


def _write_connection(path: Path, address: Address, certificates: Path | None) -> None:
    link: dict[str, str | bool] = {"address": str(address.own)}
    authority = _authority(certificates)
    link |= {"insecure": True} if authority is None else {"root-certificates": str(authority.absolute())}
    path.write_text(tomli_w.dumps({"superlink": {"default": CONNECTION, CONNECTION: link}}), encoding="utf-8")


def _wait_for(
    superlink: "subprocess.Popen[bytes]", address: Address, certificates: Path | None, log: Path, patience: float = 60.0
) -> None:
    """Wait until the SuperLink answers this machine; a ``UserError`` if it ended or took too long."""
    deadline = time.monotonic() + patience
    while trouble := address.own.trouble(_authority(certificates)):
        if superlink.poll() is not None:
            raise UserError(f"the SuperLink ended with code {superlink.returncode} before it served; see {log}")
        if time.monotonic() > deadline or "certificate" in trouble:
            raise UserError(f"the server cannot speak to itself: {trouble}")
        time.sleep(0.1)


def _authority(certificates: Path | None) -> Path | None:
    return None if certificates is None else certificates / "ca.crt"


def _keys(certificates: Path | None) -> list[Path]:
    """Return a file for every different public key of a node."""
    found = sorted(certificates.glob("*.pub")) if certificates else []
    return list({key.read_bytes(): key for key in found}.values())


def _register(keys: list[Path], env: dict[str, str]) -> None:
    """Let the SuperLink admit the nodes with these public keys."""
    command = [sys.executable, "-m", "server.registration", CONNECTION, *map(str, keys)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"a node could not be registered: {(done.stderr or done.stdout).strip()}")


@guarded
def main(
    conf: Annotated[Path, typer.Argument(help="The configuration (TOML).")],
    data: Annotated[Path, typer.Option(help="The server's data folder: public users, number of clients.")],
    out: Annotated[Path, typer.Option(help="The run folder.")],
    certificates: Annotated[
        Path | None, typer.Option(help="Folder with ca.crt, server.pem, server.key and the nodes' *.pub keys.")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="No TLS and no node authentication.")] = False,
    address: Annotated[
        str | None,
        typer.Option(
            help=f"host:port to listen on; by default 0.0.0.0:{PORT}, which means all addresses of this machine, and "
            f"with --insecure 127.0.0.1:{PORT}."
        ),
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, overrides the file.")] = None,
) -> None:
    """Start a SuperLink, wait for clients, and run one federated distillation."""
    if (certificates is None) != insecure:
        raise UserError("give either --certificates DIR or --insecure, not both and not neither")
    places = [f"runtime.run-folder={out.absolute()}", f"runtime.server-data={data.absolute()}"]
    listen = Address.parse(address or f"{'127.0.0.1' if insecure else '0.0.0.0'}:{PORT}", "--address")
    config = load(conf, [*(overrides or ()), *places])
    RunFolder(out).check(config)
    with going_on(lambda: f"the same command goes on with the run in {out}"):
        serve(config, listen, certificates)


if __name__ == "__main__":
    start(main)
