"""The outermost layer of the service: limits on size and time, and counts."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fedkd.serving.answers import refusal
from fedkd.serving.metrics import Metrics
from fedkd.serving.options import Limits

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class TooLargeError(Exception):
    """A request of more bytes than are allowed."""


class Guard:
    """A layer that refuses requests that are too large or take too long, and counts all of them.

    Parameters
    ----------
    app : callable
        The application within.
    limits : Limits
        What is allowed.
    metrics : Metrics
        Where requests are counted.
    paths : frozenset of str
        Paths that are counted by name; all others are one.
    """

    def __init__(self, app: Application, limits: Limits, metrics: Metrics, paths: frozenset[str]) -> None:
        self.app, self.limits, self.metrics, self.paths = app, limits, metrics, paths

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, exchange = time.perf_counter(), Exchange(receive, send, self.limits.body_bytes)
        try:
            if exchange.declared(scope) > self.limits.body_bytes:
                raise TooLargeError
            async with asyncio.timeout(self.limits.seconds):
                await self.app(scope, exchange.receive, exchange.send)
        except TooLargeError:
            await exchange.refuse(scope, 413, f"the request has more than {self.limits.body_bytes:,} bytes; send less")
        except TimeoutError:
            await exchange.refuse(scope, *self._late(exchange))
        finally:
            self._count(scope, exchange.status, time.perf_counter() - begun)

    def _late(self, exchange: "Exchange") -> tuple[int, str]:
        limit = f"{self.limits.seconds:g} seconds"
        if exchange.complete:
            return 503, f"there was no answer within {limit}; ask for fewer histories, or later"
        return 408, f"the request did not arrive within {limit}"

    def _count(self, scope: Message, status: int, seconds: float) -> None:
        path = scope["path"] if scope["path"] in self.paths else "other"
        self.metrics.requests.labels(path, str(status)).inc()
        self.metrics.seconds.labels(path).observe(seconds)


class Exchange:
    """The traffic of one request.

    Attributes
    ----------
    status : int
        The answer's status; 499 before there is one, as of those who went away.
    complete : bool
        Whether the whole request has arrived.
    """

    def __init__(self, receive: Receive, send: Send, most_bytes: int) -> None:
        self._receive, self._send, self._most = receive, send, most_bytes
        self.status, self.complete, self.received = 499, False, 0

    @staticmethod
    def declared(scope: Message) -> int:
        """Return the bytes that the request says it has; 0 where it does not say."""
        text = dict(scope["headers"]).get(b"content-length", b"0")
        return int(text) if text.isdigit() and len(text) < 20 else 0

    async def receive(self) -> Message:
        """Pass on a part of the request; refuse what makes it too large."""
        message = await self._receive()
        self.received += len(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        if self.received > self._most:
            raise TooLargeError
        return message

    async def send(self, message: Message) -> None:
        """Pass on a part of the answer; one to a request that was too large would name another mistake."""
        if self.received > self._most:
            raise TooLargeError
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def refuse(self, scope: Message, status: int, reason: str) -> None:
        """Answer with a reason, unless an answer has begun."""
        if self.status == 499:
            self.status = status
            await refusal(status, reason, {"connection": "close"})(scope, self._receive, self._send)
