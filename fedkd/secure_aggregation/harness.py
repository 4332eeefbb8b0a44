"""A whole secure sum in one process, for tests and measurements."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median

import numpy as np
from numpy.typing import NDArray

from fedkd.secure_aggregation.keys import Directory, Identity, is_signed
from fedkd.secure_aggregation.party import Party
from fedkd.secure_aggregation.sums import SecureSum


@dataclass
class SimulatedRound:
    """The sum of one round, and the time and bytes that it took.

    Attributes
    ----------
    total : ndarray of int64, shape [count]
        The sum over the survivors.
    survivors : set of int
    seconds, sent, received
        By client: processor time, bytes to the server, bytes from it.
    """

    total: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    survivors: set[int] = field(default_factory=set)
    seconds: dict[int, float] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)
    received: dict[int, int] = field(default_factory=dict)

    def ask(self, requests: Mapping[int, bytes], answer: Callable[[int, bytes], bytes]) -> dict[int, bytes]:
        """Put requests to the clients one after the other, and measure time and bytes."""
        replies = {}
        for client, request in requests.items():
            start = time.thread_time()
            replies[client] = answer(client, request)
            self.seconds[client] = self.seconds.get(client, 0.0) + time.thread_time() - start
            self.received[client] = self.received.get(client, 0) + len(request)
            self.sent[client] = self.sent.get(client, 0) + len(replies[client])
        return replies


def simulate_round(
    parties: Mapping[int, Party],
    server: SecureSum,
    run: str,
    round: int,
    vectors: Mapping[int, NDArray[np.integer]],
    bits: int,
    leaving: Mapping[int, str],
) -> SimulatedRound:
    """Simulate one round.

    Parameters
    ----------
    parties : mapping of int to Party
    server : SecureSum
        Of this run and round.
    run, round
        Which round this is.
    vectors : mapping of int to ndarray, shape [count]
    bits : int
    leaving : mapping of int to str
        Clients that drop out, to the first phase whose answer is lost: advertise, share, mask or unmask.
    """
    measured = SimulatedRound()

    def stay(replies: dict[int, bytes], phase: str) -> dict[int, bytes]:
        return {client: reply for client, reply in replies.items() if leaving.get(client) != phase}

    replies = measured.ask(dict.fromkeys(parties, b""), lambda client, _: parties[client].advertise(run, round))
    requests = server.keys(stay(replies, "advertise"))
    requests = server.shares(stay(measured.ask(requests, lambda client, asked: parties[client].share(asked)), "share"))
    replies = measured.ask(requests, lambda client, asked: parties[client].mask(asked, vectors[client], bits))
    requests = server.vectors(stay(replies, "mask"))
    measured.survivors = set(requests)
    replies = measured.ask(requests, lambda client, asked: parties[client].unmask(asked))
    measured.total = server.open(stay(replies, "unmask"))
    return measured


class SharedDirectory(Directory):
    """The directory of parties that share a process: a signature that one of them has checked is checked for all."""

    def verifies(self, place: int, signature: bytes, message: bytes) -> bool:
        """Say whether the client at a position signed a message."""
        return _is_signed(self.public(place), signature, message)


_is_signed = lru_cache(maxsize=4096)(is_signed)


def new_parties(
    clients: int, minimum: int, kind: type[Directory] = SharedDirectory
) -> tuple[Directory, dict[int, Party]]:
    """Return new clients numbered from 0 and the directory of their identities."""
    identities = {client: Identity.generate() for client in range(clients)}
    directory = kind({client: identity.public for client, identity in identities.items()})
    return directory, {client: Party(one, client, directory, minimum) for client, one in identities.items()}


def measure(
    clients: int = 100, count: int = 10_000, bits: int = 32, rounds: int = 3, gone: float = 0.0
) -> dict[str, float]:
    """Return the time and bytes of secure sums.

    Parameters
    ----------
    clients, count, bits, rounds : int
    gone : float
        Share of the clients whose masked vectors are lost, the costliest moment to leave: the others masked with them.

    Returns
    -------
    dict
        ``client_ms``: processor time of the median client in the median round; ``server_ms``: the same of the server;
        ``sent_ratio``: the most bytes a client sends, divided by those of its plain vector; ``received_bytes``: the
        most bytes a client receives.
    """
    directory, parties = new_parties(clients, 2, Directory)  # every client checks for itself
    vectors = {client: np.full(count, client) for client in parties}
    leaving = dict.fromkeys(range(int(gone * clients)), "mask")
    times, served, measured = [], [], SimulatedRound()
    for number in range(rounds):
        start = time.thread_time()
        server = SecureSum(directory, "measure", number, 2, count, bits)
        measured = simulate_round(parties, server, "measure", number, vectors, bits, leaving)
        served.append(time.thread_time() - start - sum(measured.seconds.values()))
        times.append(median(seconds for client, seconds in measured.seconds.items() if client not in leaving))
    return {
        "client_ms": 1e3 * median(times),
        "server_ms": 1e3 * median(served),
        "sent_ratio": max(measured.sent.values()) / (count * bits / 8),
        "received_bytes": max(measured.received.values()),
    }
