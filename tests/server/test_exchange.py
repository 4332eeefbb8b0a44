"""Those who are missing from an answer."""

import numpy as np

from fedkd.knowledge import Answers, Asks
from server.exchange import missing


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
