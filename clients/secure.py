"""A device's part in a secure sum: keys, shares, one masked answer, and shares of the masks."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flwr.app import Message
from numpy.typing import NDArray

from clients.device import MADE, Device
from clients.node import ClientNode
from fedkd.atomic_file import replace_file
from fedkd.errors import UserError
from fedkd.messages.flower import read_secure, refusal_record, secure_record
from fedkd.secure_aggregation import Party, RefusedError
from fedkd.secure_aggregation.identities import KEY, read_directory


@dataclass(frozen=True)
class Turn:
    """One attempt at a secure sum, as a server names it.

    Attributes
    ----------
    run : str
        The run, which keeps its name when it is continued.
    attempt : str
        The start of the server; each has keys and masks of its own.
    number : int
        See ``fedkd.messages.flower.turn_of``.
    """

    run: str
    attempt: str
    number: int

    @property
    def name(self) -> str:
        """The run and the attempt, to which keys are bound."""
        return f"{self.run}-{self.attempt}"


Answer = Callable[[Party, bytes, Turn], bytes]
"""Computes a party's reply to a request, given the request's bytes and the turn."""


def take_part(node: ClientNode, message: Message, answer: Answer) -> Message:
    """Let the device's party answer, and save its state on disk before the answer leaves."""
    node.policy.check(node.config)
    request, sent = read_secure(message.content)
    turn = Turn(str(sent["run"]), str(sent["attempt"]), int(str(sent["round"])))
    try:
        party, kept = _party(node, turn.number)
        if message.metadata.message_type != "query.keys":  # only a request for keys begins another round
            party.check_round(turn.name, turn.number)
        reply = answer(party, request, turn)
    except RefusedError as error:
        return Message(refusal_record(error.failure), reply_to=message)
    _write(kept, party.dumps())
    return Message(secure_record(reply), reply_to=message)


def masked(node: ClientNode, question: str, vector: Callable[[], NDArray[np.int64]], bits: int) -> Answer:
    """Return the answer that hides a vector under masks, unless its sum was opened before for another cohort.

    Two sums that differ in one client would show its answer. Masks that nobody has opened show nothing, so a round
    that was interrupted may be repeated: the keys of the earlier attempt are forgotten.

    Parameters
    ----------
    node : ClientNode
        A device.
    question : str
        Name of the question of a run, which ends in its digest.
    vector : callable
        Computes the vector and pays for it; called only when the answer may be given.
    bits : int
        The sum is taken modulo ``2**bits``.
    """

    def _answer(party: Party, request: bytes, turn: Turn) -> bytes:
        digest = question.rpartition(" ")[2]
        before = _opened(node, digest)
        if before.exists() and not party.has_members(before.read_bytes()):
            raise RefusedError("this question of the run was answered in another cohort")
        hidden = party.mask(request, vector(), bits)
        _write(_latest(node), json.dumps([turn.name, turn.number, digest]).encode())
        return hidden

    return _answer


def unmasked(node: ClientNode) -> Answer:
    """Return the shares that open the sum of the latest answer; a run's question is opened for one cohort alone."""

    def _answer(party: Party, request: bytes, turn: Turn) -> bytes:
        *asked, digest = json.loads(_latest(node).read_bytes()) if _latest(node).exists() else [""]
        if asked != [turn.name, turn.number]:
            raise RefusedError("no answer was given in this turn, so there is nothing to open")
        before = _opened(node, digest)
        if before.exists() and before.read_bytes() != request:
            raise RefusedError("the sum of this question of the run was opened for other clients")
        shares = party.unmask(request)
        _write(before, request)
        return shares

    return _answer


def _latest(node: ClientNode) -> Path:
    """Return the file that names the latest masked answer."""
    return _device(node).folder / "state" / "masked"


def _opened(node: ClientNode, digest: str) -> Path:
    """Return the file that holds the clients for whom the sum of a question was opened."""
    return _device(node).folder / "state" / "opened" / digest


def _party(node: ClientNode, turn: int) -> tuple[Party, Path]:
    device = _device(node)
    if device.identity is None:
        raise UserError(f"{device.folder} has no {KEY}, so this client cannot mask its answers; {MADE}")
    directory = read_directory(device.folder)
    party = Party(device.identity, device.client, directory, node.least(turn))
    kept = device.folder / "state" / "party"
    if kept.exists():
        party.loads(kept.read_bytes())
    return party, kept


def _device(node: ClientNode) -> Device:
    if not isinstance(node.holder, Device):
        raise UserError("secure sums are for devices; a simulation takes its sums inside its cohorts")
    return node.holder


def _write(path: Path, data: bytes) -> None:
    """Write a file that only its owner reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data, 0o600)
