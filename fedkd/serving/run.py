"""The service as a process of its own, or several."""

import os
import socket
import tempfile
from ipaddress import ip_address

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from fedkd.errors import UserError
from fedkd.serving.app import application
from fedkd.serving.metrics import SHARED
from fedkd.serving.options import ServiceOptions

OPTIONS = "FEDKD_SERVICE"
"""The environment's name for the settings, which workers read."""

CONNECTIONS = 512
"""Requests at a time; more are told to come later."""


def configured() -> FastAPI:
    """Return the service that the environment describes; each worker makes its own."""
    return application(ServiceOptions.model_validate_json(os.environ[OPTIONS]))


def fit_workers() -> int:
    """Return how many processes suit this machine: half its cores, for the other half sends requests or answers them.

    One process answers more than two do where there are two cores and somebody else works on them, too.
    """
    return max(1, (os.cpu_count() or 1) // 2)


def serve(options: ServiceOptions, sockets: list[socket.socket], workers: int) -> None:
    """Serve until Ctrl-C, which a ``KeyboardInterrupt`` tells; requests that have begun are answered first.

    Parameters
    ----------
    options : ServiceOptions
        What is served.
    sockets : list of socket
        Where to listen.
    workers : int
        Processes.
    """
    os.environ[OPTIONS] = options.model_dump_json()
    settings = uvicorn.Config(
        "fedkd.serving.run:configured",
        factory=True,
        workers=workers,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=10,
    )
    server = uvicorn.Server(settings)
    if workers == 1:
        server.run(sockets)
        return
    with tempfile.TemporaryDirectory(prefix="fedkd-metrics-") as shared:
        os.environ[SHARED] = shared
        Multiprocess(settings, target=server.run, sockets=sockets).run()
    raise KeyboardInterrupt


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens, or a ``UserError`` that says why there is none."""
    try:
        return socket.create_server((host, port), family=_family(host), backlog=2048)
    except (OSError, OverflowError) as error:
        raise UserError(f"cannot listen on {host} port {port} ({error}); choose another --port or --host") from None


def _family(host: str) -> socket.AddressFamily:
    try:
        return socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        return socket.AF_INET
