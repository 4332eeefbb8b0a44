"""``python -m server CONF``: start a SuperLink and run one federated distillation with the clients that connect."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import tomli_w
import typer

from fedkd.cli.terminal import going_on, guarded, start
from fedkd.errors import UserError
from fedkd.runs.config import Config, flower_settings, load
from fedkd.runs.folder import RunFolder
from fedkd.runs.processes import environment, program, running, wait_for_port

PROJECT = Path(__file__).resolve().parents[1]
CONNECTION = "fedkd"


def serve(config: Config, address: str, certificates: Path | None) -> None:
    """Start the SuperLink, admit the nodes whose public keys lie beside the certificates, run, and stop the SuperLink.

    Raises
    ------
    UserError
        The SuperLink could not start, or the run failed; the message names the log with the reason.
    """
    if config.privacy.masked and not config.algorithm.masks():
        raise UserError(
            f"the server needs every single answer of {config.algorithm.name}, so they cannot be masked; choose "
            "another algorithm, or show them with --set privacy.sums=clear"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started ends with it
    folder = config.runtime.run_folder
    assert folder is not None
    env = environment(folder / "flower")
    _write_connection(folder / "flower" / "config.toml", address, certificates)
    log = folder / "superlink.log"
    with running(_superlink(folder, address, certificates), env, log) as superlink:
        wait_for_port(address, superlink, log)
        for key in sorted(certificates.glob("*.pub")) if certificates else []:
            _flwr(["supernode", "register", str(key), CONNECTION], env)
        settings = folder / "flower" / "run.toml"
        settings.write_text(tomli_w.dumps(flower_settings(config)), encoding="utf-8")
        print(f"serving on {address}; clients may connect now", flush=True)
        subprocess.run(
            [program("flwr"), "run", str(PROJECT), CONNECTION, "--stream", "-c", str(settings)], env=env, check=False
        )
    if not (folder / "summary.json").exists():  # Flower's own exit code is 0 even if the run failed
        raise UserError(f"the run did not finish; the lines above and {log} say why")


def _superlink(folder: Path, address: str, certificates: Path | None) -> list[str]:
    host, _, port = address.rpartition(":")
    command = [program("flower-superlink"), "--host", host, "--port", port]
    command += ["--database", str((folder / "flower" / "state.db").absolute())]
    command += ["--disable-runtime-dependency-installation"]
    if certificates is None:
        return [*command, "--insecure"]
    files = {"--ssl-ca-certfile": "ca.crt", "--ssl-certfile": "server.pem", "--ssl-keyfile": "server.key"}
    for option, name in files.items():
        command += [option, str((certificates / name).absolute())]
    return [*command, "--enable-supernode-auth"]


def _write_connection(path: Path, address: str, certificates: Path | None) -> None:
    link: dict[str, str | bool] = {"address": address}
    link |= (
        {"insecure": True} if certificates is None else {"root-certificates": str((certificates / "ca.crt").absolute())}
    )
    path.write_text(tomli_w.dumps({"superlink": {"default": CONNECTION, CONNECTION: link}}), encoding="utf-8")


def _flwr(arguments: list[str], env: dict[str, str]) -> None:
    done = subprocess.run([program("flwr"), *arguments], env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"flwr {' '.join(arguments)} failed: {(done.stderr or done.stdout).strip()}")


@guarded
def main(
    conf: Annotated[Path, typer.Argument(help="The configuration (TOML).")],
    data: Annotated[Path, typer.Option(help="The server's data folder: public users, number of clients.")],
    out: Annotated[Path, typer.Option(help="The run folder.")],
    certificates: Annotated[
        Path | None, typer.Option(help="Folder with ca.crt, server.pem, server.key and the nodes' *.pub keys.")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="No TLS and no node authentication.")] = False,
    address: Annotated[str, typer.Option(help="host:port to listen on.")] = "127.0.0.1:8443",
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, overrides the file.")] = None,
) -> None:
    """Start a SuperLink, wait for clients, and run one federated distillation."""
    if (certificates is None) != insecure:
        raise UserError("give either --certificates DIR or --insecure, not both and not neither")
    places = [f"runtime.run-folder={out.absolute()}", f"runtime.server-data={data.absolute()}"]
    config = load(conf, [*(overrides or ()), *places])
    RunFolder(out).check(config)
    with going_on(lambda: f"the same command goes on with the run in {out}"):
        serve(config, address, certificates)


if __name__ == "__main__":
    start(main)
