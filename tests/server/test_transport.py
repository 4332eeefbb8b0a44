"""Those who are missing from an answer, and replies that nobody can unpack."""

from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict
from flwr.clientapp import ClientApp
from google.protobuf.message import DecodeError

from fedkd.messages.types import Answers, Asks
from server.transport import exchange, missing
from simulations.grid import FIRST_NODE, InProcessGrid


def told(refused: dict[str, list[int]]) -> dict[str, list[int]]:
    """Who of the clients 1, 2, 3 and 5 is missing from an answer of 2."""
    asks = Asks(1, np.array([1, 2, 3, 5]))
    return {why: who.tolist() for why, who in missing(asks, Answers(1, np.array([2]), {}, "", refused))}


def test_everyone_who_is_missing_is_counted_once() -> None:
    assert told({}) == {"left out of the answer": [1, 3, 5]}
    assert told({"ill": [3], "late": [3, 5], "away": [2, 9]}) == {
        "ill": [3],
        "late": [5],
        "left out of the answer": [1],
    }
    assert told({"left out of the answer": []}) == {"left out of the answer": [1, 3, 5]}


@pytest.mark.parametrize("error", [DecodeError("broken"), ValueError("no such object"), KeyError("body")])
def test_a_reply_that_cannot_be_unpacked_ends_no_run(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    assert failing(monkeypatch, error).failures == {FIRST_NODE: "no answer in time"}


def test_a_connection_that_is_lost_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectionError):
        failing(monkeypatch, ConnectionError("refused"))


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Any:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    grid = InProcessGrid(ClientApp(), {}, 1)
    monkeypatch.setattr(grid, "send_and_receive", broken)
    return exchange(grid, "query.whoami", {FIRST_NODE: RecordDict()}, 1.0)
