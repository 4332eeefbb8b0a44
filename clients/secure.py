"""A device's part in a secure sum: keys, shares, one masked answer, and shares of the masks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from flwr.app import Message
from numpy.typing import NDArray

from clients.device import Device
from clients.node import Host
from fedkd.atomic_file import replace_file
from fedkd.errors import UserError
from fedkd.messages.flower import read_secure, refusal_record, secure_record
from fedkd.secure_aggregation import Party, RefusedError
from fedkd.secure_aggregation.identities import KEY, read_directory

Answer = Callable[[Party, bytes, str, int], bytes]
"""What a party says to a request, given its bytes, the run and the round."""


def take_part(host: Host, message: Message, answer: Answer) -> Message:
    """Let the device's party answer, and remember on disk what it answered before anything leaves."""
    host.terms.check(host.config)
    request, about = read_secure(message.content)
    turn = int(str(about["round"]))
    run = str(about["run"])
    try:
        party, kept = _party(host, turn)
        if message.metadata.message_type != "query.keys":  # these alone begin another round
            party.check_round(run, turn)
        reply = answer(party, request, run, turn)
    except RefusedError as error:
        return Message(refusal_record(error.failure), reply_to=message)
    _write(kept, party.dumps())
    return Message(secure_record(reply), reply_to=message)


def masked(host: Host, question: str, vector: Callable[[], NDArray[np.int64]], bits: int) -> Answer:
    """Return the answer that hides a vector; to one question it is given in one cohort alone.

    Two sums that differ in one client would show its answer.

    Parameters
    ----------
    host : Host
        A device.
    question : str
        Ends in the digest of what is asked.
    vector : callable
        Computes and pays for what is to be hidden; called once it is clear that it may be given.
    bits : int
        The sum is taken modulo ``2**bits``.
    """

    def answer(party: Party, request: bytes, run: str, round: int) -> bytes:
        marker = _device(host).folder / "state" / "masked" / question.rpartition(" ")[2]
        place = f"{run}, round {round}"
        if marker.exists() and marker.read_text(encoding="utf-8") != place:
            raise RefusedError("this question was answered in another cohort")
        hidden = party.mask(request, vector(), bits)
        _write(marker, place.encode())
        return hidden

    return answer


def _party(host: Host, turn: int) -> tuple[Party, Path]:
    device = _device(host)
    if device.identity is None:
        raise UserError(
            f"{device.folder} holds no {KEY}, so this client can mask nothing; make one with python -m "
            "simulations.deployment.prepare"
        )
    directory = read_directory(device.folder)
    party = Party(device.identity, device.client, directory, host.least(turn))
    kept = device.folder / "state" / "party"
    if kept.exists():
        party.loads(kept.read_bytes())
    return party, kept


def _device(host: Host) -> Device:
    if not isinstance(host.holder, Device):
        raise UserError("secure sums are for devices; a simulation takes its sums inside its cohorts")
    return host.holder


def _write(path: Path, data: bytes) -> None:
    """Write a file that only its owner reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data, 0o600)
