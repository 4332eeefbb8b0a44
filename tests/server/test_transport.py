"""Those who are missing from an answer, and replies that nobody can unpack."""

from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict
from flwr.clientapp import ClientApp
from google.protobuf.message import DecodeError

from fedkd.messages.missing import Failure, Missing
from fedkd.messages.types import Answers, Asks
from server.transport import exchange, missing
from simulations.grid import FIRST_NODE, InProcessGrid


def told(refused: dict[Missing, list[int]]) -> dict[Missing, list[int]]:
    """Who of the clients 1, 2, 3 and 5 is missing from an answer of 2."""
    asks = Asks(1, np.array([1, 2, 3, 5]))
    return {why: who.tolist() for why, who in missing(asks, Answers(1, np.array([2]), {}, "", refused))}


def test_everyone_who_is_missing_is_counted_once() -> None:
    assert told({}) == {Missing.LEFT_OUT: [1, 3, 5]}
    assert told({Missing.NOT_FINITE: [3], Missing.EXHAUSTED: [3, 5], Missing.REFUSED: [2, 9]}) == {
        Missing.NOT_FINITE: [3],
        Missing.EXHAUSTED: [5],
        Missing.LEFT_OUT: [1],
    }
    assert told({Missing.LEFT_OUT: []}) == {Missing.LEFT_OUT: [1, 3, 5]}


@pytest.mark.parametrize("error", [DecodeError("broken"), ValueError("no such object"), KeyError("body")])
def test_a_reply_that_cannot_be_unpacked_ends_no_run(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    assert failing(monkeypatch, error).failures == {FIRST_NODE: Failure(Missing.LATE)}


def test_a_connection_that_is_lost_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectionError):
        failing(monkeypatch, ConnectionError("refused"))


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Any:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    grid = InProcessGrid(ClientApp(), {}, 1)
    monkeypatch.setattr(grid, "send_and_receive", broken)
    return exchange(grid, "query.whoami", {FIRST_NODE: RecordDict()}, 1.0)
