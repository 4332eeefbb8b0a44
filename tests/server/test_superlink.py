"""The SuperLink takes orders from its own machine alone."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from server.superlink import NodesAlone


def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.url.path)


APP = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])], middleware=[Middleware(NodesAlone)])


def post(host: str, path: str, own: str = "198.51.100.1") -> httpx.Response:
    async def ask() -> httpx.Response:
        way = httpx.ASGITransport(APP, client=(host, 4711))
        async with httpx.AsyncClient(transport=way, base_url=f"http://{own}") as client:
            return await client.post(path)

    return asyncio.run(ask())


@pytest.mark.parametrize("host", ["192.0.2.9", "2001:db8::9", "10.1.1.1"])
@pytest.mark.parametrize("path", ["/v1/control/start-run", "/v1/runtime/acquire-task", "/docs", "/v1/fleetx", "/"])
def test_another_machine_may_not_give_orders(host: str, path: str) -> None:
    reply = post(host, path)
    assert (reply.status_code, reply.text) == (403, "only this machine may ask for that")


@pytest.mark.parametrize("host", ["192.0.2.9", "2001:db8::9"])
def test_nodes_of_other_machines_are_answered(host: str) -> None:
    assert post(host, "/v1/fleet/pull-messages").text == "/v1/fleet/pull-messages"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.1.1", "::1"])
def test_this_machine_may_ask_for_everything(host: str) -> None:
    assert post(host, "/v1/control/start-run").status_code == 200


def test_a_server_at_one_address_knows_itself_there() -> None:
    assert post("192.0.2.7", "/v1/control/start-run", own="192.0.2.7").status_code == 200
