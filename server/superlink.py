"""``python -m server.superlink PARENT ...``: Flower's SuperLink as the server runs it.

It ends with its parent. Flower lets everyone who reaches a SuperLink start runs and register nodes, at the address
where it meets the nodes. Here only this machine may do so.
"""

import ipaddress

from flwr.superlink import extensions
from flwr.superlink.cli import flower_superlink
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fedkd.runs.processes import tie

NODES = "/v1/fleet/"
"""Beginning of the paths that nodes use, which show who they are by their keys."""


class NodesAlone:
    """Refuse everything but nodes' requests from other machines.

    Parameters
    ----------
    app : ASGI application
        Answers the other requests.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        foreign = scope["type"] != "lifespan" and not scope["path"].startswith(NODES) and not _is_own(scope)
        answer = PlainTextResponse("only this machine may ask for that", 403) if foreign else self.app
        await answer(scope, receive, send)


def _is_own(scope: Scope) -> bool:
    """Return whether a request comes from this machine."""
    (host, _), (own, _) = scope["client"], scope["server"]
    return host == own or ipaddress.ip_address(host).is_loopback


def main() -> None:
    """Run a SuperLink until it is stopped."""
    tie()
    others = extensions.get_middleware
    vars(extensions)["get_middleware"] = lambda: [Middleware(NodesAlone), *others()]
    flower_superlink()


if __name__ == "__main__":
    main()
