"""The round, which a real server, a simulation, a dry run and a forecast have in common."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedkd.errors import DivergedError
from fedkd.messages.types import Asks, Estimates
from fedkd.protocols.base import Metrics, Protocol, State
from fedkd.random_streams import stream

Collect = Callable[[Asks], Estimates | None]
"""Returns the estimates from clients' answers to a question; None where nothing was released."""


@dataclass(frozen=True)
class Round:
    """The outcome of a round.

    Attributes
    ----------
    state : State
        The state after teaching.
    metrics : mapping of str to float
        Metrics of the teaching.
    teaching_seconds : float
        Seconds of the teaching.
    """

    state: State
    metrics: Metrics
    teaching_seconds: float


def play_round(
    protocol: Protocol, state: State, number: int, clients: NDArray[np.int64], participants: int, collect: Collect
) -> Round:
    """Invite, sample, ask, collect, pool and teach.

    Parameters
    ----------
    protocol : Protocol
        The protocol.
    state : State
        The state before the round.
    number : int
        The round, counted from 1; with the seed it names all random streams.
    clients : ndarray of int64
        All clients that can be reached, ascending.
    participants : int
        Most clients that are asked.
    collect : callable
        Returns the estimates from the answers.

    Raises
    ------
    DivergedError
        The state after teaching holds numbers that are not finite.
    """
    seed = state.setup.seed
    chosen = sampled(protocol.invite(state, clients), participants, seed, number)
    estimates = collect(protocol.ask(state, chosen, number, stream(seed, "ask", number)))
    if estimates is not None:
        state = protocol.pool(state, estimates)
    elif number > 1:
        return Round(state, {}, 0.0)  # it would teach the same again
    begun = time.monotonic()
    with np.errstate(over="ignore", invalid="ignore"):
        state, metrics = protocol.teach(state, stream(seed, "teach", number))
    if not all(np.isfinite(array).all() for array in state.arrays.values() if array.dtype.kind == "f"):
        raise DivergedError("what the server learnt is not finite")
    return Round(state, metrics, time.monotonic() - begun)


def refreshed(protocol: Protocol, state: State, due: NDArray[np.int64], number: int, collect: Collect) -> Round:
    """Return the round in which some clients answer again, and teacher and student are taught.

    Parameters
    ----------
    protocol, state, number, collect
        As of ``play_round``.
    due : ndarray of int64
        Clients whose histories changed, or under protection everyone whose turn it is, whatever their histories.
    """
    everyone = np.arange(state.setup.num_clients)
    return play_round(protocol, protocol.changed(state, due), number, everyone, len(everyone), collect)


def remaining(protocol: Protocol, state: State) -> NDArray[np.int64]:
    """Return the registered clients that still have something to contribute; a run without any has ended."""
    return protocol.invite(state, np.arange(state.setup.num_clients))


def sampled(invited: NDArray[np.int64], most: int, seed: int, number: int) -> NDArray[np.int64]:
    """Return at most ``participants`` of the invited clients, drawn without replacement, ascending."""
    if len(invited) <= most:
        return invited
    return np.sort(stream(seed, "sample", number).choice(invited, most, replace=False))
