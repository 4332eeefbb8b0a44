"""The program on a device that makes a process for every message: a copy of one that has imported what it needs.

By itself Flower starts Python afresh for a message, and the import of PyTorch takes a small device longer than the
answer.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from flwr.supercore.superexec.executor import ExecutionSpec, LaunchResult, SubprocessExecutor
from flwr.supercore.superexec.run_superexec import run_superexec
from flwr.supernode.cli import flwr_clientapp

OWN = ("clients", "fedkd")


class ForkingExecutor(SubprocessExecutor):
    """Runs Flower's ``flwr-clientapp`` in a copy of this process."""

    def launch(self, spec: ExecutionSpec) -> LaunchResult:
        """Start the process of a message."""
        given = ["--runtime-api-address", spec.runtime_api_address, "--token", spec.token, "--insecure"]
        forked(lambda: _answer([*given, "--parent-pid", str(spec.parent_pid)]))
        return LaunchResult.accepted()


def serve(port: int, node: int) -> None:
    """Run the executor of a SuperNode until that ends.

    Parameters
    ----------
    port : int
        Where the SuperNode gives out its messages on this machine.
    node : int
        Its process id.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # what has ended needs no farewell
    import_libraries()
    vars(sys.modules[run_superexec.__module__])["get_executor"] = lambda *_, **__: ForkingExecutor()
    run_superexec(f"127.0.0.1:{port}", insecure=True, parent_pid=node)


def import_libraries() -> None:
    """Import what the ClientApp imports, and forget the ClientApp itself: it comes with each run, from the server."""
    import clients.app  # noqa: F401

    for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
        del sys.modules[name]


def forked(work: Callable[[], None]) -> int:
    """Do some work in a copy of this process, and return its id."""
    copy = os.fork()
    if not copy:
        _finish(work)
    return copy


def _finish(work: Callable[[], None]) -> NoReturn:
    """Do the work and end the process, whatever happens."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _answer(arguments: list[str]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sys.argv = ["flwr-clientapp", *arguments]
    flwr_clientapp()
