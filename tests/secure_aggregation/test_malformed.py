"""Random damage to messages: clients refuse or answer, sums stay exact."""

import numpy as np
import pytest

from fedkd.secure_aggregation import RefusedError, SecureSum
from fedkd.secure_aggregation.harness import new_parties


def damaged(rng: np.random.Generator, message: bytes, keep_length: bool = True) -> bytes:
    """Flip bits, or cut, lengthen or replace."""
    kind = rng.integers(0 if keep_length else 1, 4)
    if kind == 0:
        spot = int(rng.integers(len(message)))
        return message[:spot] + bytes([message[spot] ^ 1 << int(rng.integers(8))]) + message[spot + 1 :]
    if kind == 1:
        return message[: int(rng.integers(len(message)))]
    if kind == 2:
        return message + rng.bytes(int(rng.integers(1, 200)))
    return rng.bytes(int(rng.integers(300)) | 1)  # all true lengths here are even


def test_damaged_requests_are_refused_or_answered() -> None:
    rng = np.random.default_rng(0)
    directory, parties = new_parties(9, 3)
    server = SecureSum(directory, "run", 0, 3, 5, 32)
    party, vector = parties[0], np.arange(5)
    asked = server.keys({c: p.advertise("run", 0) for c, p in parties.items()})
    steps = [("share", asked[0], party.dumps())]
    asked = server.shares({c: parties[c].share(b) for c, b in asked.items()})
    steps.append(("mask", asked[0], party.dumps()))
    asked = server.vectors({c: parties[c].mask(b, vector, 32) for c, b in asked.items()})
    steps.append(("unmask", asked[0], party.dumps()))
    refused = 0
    for verb, request, saved in steps:
        for _ in range(300):
            party.loads(saved)
            message = damaged(rng, request)
            try:
                party.mask(message, vector, 32) if verb == "mask" else getattr(party, verb)(message)
            except RefusedError:
                refused += 1
                assert party.dumps() == saved  # nothing was given, nothing is remembered
    assert refused > 500


@pytest.mark.parametrize("phase", ["advertise", "share", "mask", "unmask"])
def test_damaged_replies_leave_the_sum_exact(phase: str) -> None:
    rng = np.random.default_rng(1)
    directory, parties = new_parties(5, 2)
    for number in range(60):
        server = SecureSum(directory, "run", number, 2, 5, 32)
        victim = int(rng.integers(5))

        def spoiled(replies: dict[int, bytes], now: str, victim: int = victim) -> dict[int, bytes]:
            if now != phase:
                return replies
            return {**replies, victim: damaged(rng, replies[victim], now in ("advertise", "unmask"))}

        asked = server.keys(spoiled({c: p.advertise("run", number) for c, p in parties.items()}, "advertise"))
        asked = server.shares(spoiled({c: parties[c].share(b) for c, b in asked.items()}, "share"))
        masked = {c: parties[c].mask(b, np.full(5, c), 32) for c, b in asked.items()}
        asked = server.vectors(spoiled(masked, "mask"))
        total = server.open(spoiled({c: parties[c].unmask(b) for c, b in asked.items()}, "unmask"))
        assert set(range(5)) - set(asked) <= {victim}
        assert (total == sum(asked)).all()
