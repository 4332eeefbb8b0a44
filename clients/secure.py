"""A device's part in a secure sum: keys, shares, one masked answer, and shares of the masks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from flwr.app import Message
from numpy.typing import NDArray

from clients.device import Device
from clients.node import ClientNode
from fedkd.atomic_file import replace_file
from fedkd.errors import UserError
from fedkd.messages.flower import read_secure, refusal_record, secure_record
from fedkd.secure_aggregation import Party, RefusedError
from fedkd.secure_aggregation.identities import KEY, read_directory

Answer = Callable[[Party, bytes, str, int], bytes]
"""Computes a party's reply to a request, given the request's bytes, the run and the round."""


def take_part(node: ClientNode, message: Message, answer: Answer) -> Message:
    """Let the device's party answer, and save its state on disk before the answer leaves."""
    node.policy.check(node.config)
    request, sent = read_secure(message.content)
    turn, run = int(str(sent["round"])), str(sent["run"])
    try:
        party, kept = _party(node, turn)
        if message.metadata.message_type != "query.keys":  # only a request for keys begins another round
            party.check_round(run, turn)
        reply = answer(party, request, run, turn)
    except RefusedError as error:
        return Message(refusal_record(error.failure), reply_to=message)
    _write(kept, party.dumps())
    return Message(secure_record(reply), reply_to=message)


def masked(node: ClientNode, question: str, vector: Callable[[], NDArray[np.int64]], bits: int) -> Answer:
    """Return the answer that hides a vector under masks; the same question is never answered in another cohort.

    Two sums that differ in one client would show its answer.

    Parameters
    ----------
    node : ClientNode
        A device.
    question : str
        Name of the question, which ends in its digest.
    vector : callable
        Computes the vector and pays for it; called only when the answer may be given.
    bits : int
        The sum is taken modulo ``2**bits``.
    """

    def _answer(party: Party, request: bytes, run: str, round: int) -> bytes:
        marker = _device(node).folder / "state" / "masked" / question.rpartition(" ")[2]
        place = f"{run}, round {round}"
        if marker.exists() and marker.read_text(encoding="utf-8") != place:
            raise RefusedError("this question was answered in another cohort")
        hidden = party.mask(request, vector(), bits)
        _write(marker, place.encode())
        return hidden

    return _answer


def _party(node: ClientNode, turn: int) -> tuple[Party, Path]:
    device = _device(node)
    if device.identity is None:
        raise UserError(
            f"{device.folder} has no {KEY}, so this client cannot mask its answers; make one with python -m "
            "simulations.deployment.prepare"
        )
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
