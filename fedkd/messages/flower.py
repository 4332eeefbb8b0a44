"""Asks and answers as Flower messages."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from flwr.common.serde import recorddict_to_proto
from numpy.typing import NDArray

from fedkd.messages.codecs.table import pack_answer, payload_sizes, unpack_answer
from fedkd.messages.missing import Failure
from fedkd.messages.serialisation import MalformedError, pack_arrays, unpack_arrays
from fedkd.messages.types import Answers, Asks, Reference, Spec
from fedkd.messages.validation import number, numbers, octets, reason, refusals, short, text
from fedkd.ragged import Ragged, offsets

SCHEMA = 1
"""Version of the messages; another version costs the answer."""

WHO, ASK, ANSWER, SECURE = "who", "ask", "answer", "secure"


def attestation_record(clients: NDArray[np.int64], signature: bytes) -> RecordDict:
    """Write the clients that a node says it hosts, with a client's signature of that, which may be empty."""
    return RecordDict({WHO: ConfigRecord({"clients": clients.tolist() or [-1], "signature": signature})})


def read_attestation(record: RecordDict) -> tuple[NDArray[np.int64], bytes]:
    """Read what ``attestation_record`` wrote; it may name clients that do not exist.

    Raises
    ------
    MalformedError
        The record cannot be read.
    """
    try:
        hosted = record.config_records[WHO]
        return numbers(hosted["clients"]), octets(hosted["signature"])
    except (KeyError, MalformedError) as error:
        raise MalformedError(f"the clients of a node cannot be read ({error})") from error


def ask_record(asks: Asks) -> RecordDict:
    """Write the asks of one node as a message's content, with all arrays packed into one.

    Many small arrays would be as many requests on a real network.
    """
    data, layout = pack_asks(asks)
    return packed_record(ASK, data, {"schema": SCHEMA, "round": asks.round, "layout": layout})


def pack_asks(asks: Asks) -> tuple[bytes, str]:
    """Return all arrays of some asks in one, and their layout; equal asks give equal bytes."""
    arrays: dict[str, NDArray[Any]] = {"clients": asks.clients.astype(np.int32)}
    arrays |= {f"shared/{name}": array for name, array in asks.shared.items()}
    for name, ragged in asks.own.items():
        arrays |= {f"own/{name}": ragged.values, f"lengths/{name}": ragged.lengths.astype(np.int32)}
    if asks.reference is not None:
        histories = asks.reference.histories
        arrays |= {"reference/values": histories.values.astype(np.int32)}
        arrays |= {"reference/lengths": histories.lengths.astype(np.int32)}
        arrays |= {"reference/panel": asks.reference.panel.astype(np.int32)}
    return pack_arrays(arrays)


def read_ask(record: RecordDict) -> Asks:
    """Read what ``ask_record`` wrote.

    Raises
    ------
    MalformedError
        Another schema version, or bytes that do not fit their layout.
    """
    config = record.config_records[ASK]
    check_schema(config)
    arrays = unpack_arrays(payload_of(record, ASK), text(config["layout"]))
    own = {
        name.removeprefix("own/"): Ragged(values, offsets(arrays["lengths/" + name.removeprefix("own/")]))
        for name, values in arrays.items()
        if name.startswith("own/")
    }
    shared = {name.removeprefix("shared/"): a for name, a in arrays.items() if name.startswith("shared/")}
    reference = None
    if "reference/panel" in arrays:
        histories = Ragged(arrays["reference/values"], offsets(arrays["reference/lengths"]))
        reference = Reference(histories, arrays["reference/panel"])
    return Asks(number(config["round"]), arrays["clients"].astype(np.int64), shared, own, reference)


def answer_record(answers: Answers, specs: Mapping[str, Spec]) -> RecordDict:
    """Write released answers as a message's content: packed arrays, with round, clients and reference."""
    head: dict[str, Any] = {"schema": SCHEMA, "round": answers.round, "clients": answers.clients.tolist() or [-1]}
    if answers.reference:
        head["reference"] = answers.reference
    if answers.refused:
        head["refused"] = json.dumps({reason.value: clients for reason, clients in answers.refused.items()})
    return packed_record(ANSWER, pack_answer(answers.values, specs) if len(answers.clients) else b"", head)


def read_answer(record: RecordDict, asks: Asks, specs: Mapping[str, Spec]) -> Answers:
    """Read an answer to ``asks``, and check everything in it.

    Raises
    ------
    MalformedError
        Another schema version, round, reference or client, a wrong length, or values that are not finite.
    """
    try:
        config, data = record.config_records[ANSWER], payload_of(record, ANSWER)
        check_schema(config)
        clients, refused = numbers(config["clients"]), refusals(config.get("refused", "{}"))
        question = (number(config["round"]), short(config.get("reference", "")))
    except (KeyError, MalformedError) as error:
        raise MalformedError(f"the answer cannot be read ({error})") from error
    clients = clients[clients >= 0]
    _check_question(question, clients, asks)
    values = unpack_answer(data, specs, len(clients)) if len(clients) else {}
    return Answers(asks.round, clients, values, question[1], refused)


def secure_record(data: bytes, **head: str | int) -> RecordDict:
    """Write a message of a secure sum."""
    return packed_record(SECURE, data, {"schema": SCHEMA, **head})


def add_secure(record: RecordDict, data: bytes, **head: str | int) -> RecordDict:
    """Add a message of a secure sum to an ask."""
    return RecordDict({**record, **secure_record(data, **head)})


def turn_of(round_number: int, kind: str) -> int:
    """Return the number of a secure sum: a round has two turns, one for training and one for the rest.

    Parameters
    ----------
    round_number : int
        The round of the question.
    kind : str
        Type of the message: ``train``, or anything else.
    """
    return 2 * round_number + (kind != "train")


def refusal_record(failure: Failure) -> RecordDict:
    """Write why a client does not take part in a secure sum."""
    return packed_record(SECURE, b"", {"schema": SCHEMA, "refused": failure.reason.value, "detail": failure.detail})


def is_secure(record: RecordDict) -> bool:
    """Say whether a message belongs to a secure sum."""
    return SECURE in record.config_records


def read_secure(record: RecordDict) -> tuple[bytes, ConfigRecord]:
    """Read a message of a secure sum: its bytes and its head.

    Raises
    ------
    MalformedError
        The message cannot be read, or it says why a client does not take part.
    """
    try:
        config, data = record.config_records[SECURE], payload_of(record, SECURE)
        check_schema(config)
    except (KeyError, MalformedError) as error:
        raise MalformedError(f"the message of a secure sum cannot be read ({error})") from error
    if "refused" in config:
        raise MalformedError(short(config.get("detail", "")), reason(config["refused"]))
    return data, config


def ask_bytes(asks: Asks) -> NDArray[np.int64]:
    """Return the bytes of a message to each client alone, shape [clients].

    Messages of equal lengths have equal sizes, so only one of each shape is serialised.
    """
    if not len(asks.clients):
        return np.zeros(0, np.int64)
    lengths = np.stack([asks.clients > 127, *(ragged.lengths for ragged in asks.own.values())], axis=1)
    _, first, same = np.unique(lengths, axis=0, return_index=True, return_inverse=True)
    sizes = [record_bytes(ask_record(asks.take(asks.clients[[row]]))) for row in first]
    return np.asarray(sizes, np.int64)[same.reshape(-1)]


def answer_bytes(answers: Answers, specs: Mapping[str, Spec]) -> NDArray[np.int64]:
    """Return the bytes of a message from each client alone, shape [clients]."""
    distinct, same = np.unique(payload_sizes(answers, specs), return_inverse=True)
    sizes = [_answer_bytes(answers, int(payload)) for payload in distinct]
    return np.asarray(sizes, np.int64)[same]


def _answer_bytes(answers: Answers, payload: int) -> int:
    head: dict[str, Any] = {"schema": SCHEMA, "round": answers.round, "clients": [int(answers.clients[-1])]}
    if answers.reference:
        head["reference"] = answers.reference
    return record_bytes(packed_record(ANSWER, bytes(payload), head))


def record_bytes(record: RecordDict) -> int:
    """Return the size of the serialised record in bytes."""
    return int(recorddict_to_proto(record).ByteSize())


def packed_record(name: str, data: bytes, head: dict[str, Any]) -> RecordDict:
    """Write bytes of one kind as a message's content, with a head."""
    array = Array(dtype="uint8", shape=(len(data),), stype="fedkd.packed", data=data)
    return RecordDict({f"{name}.data": ArrayRecord({"packed": array}), name: ConfigRecord(head)})


def payload_of(record: RecordDict, name: str) -> bytes:
    """Read the bytes of one kind, or raise a ``MalformedError`` or ``KeyError`` if there are none."""
    array = record.array_records[f"{name}.data"]["packed"]
    if array.stype != "fedkd.packed":
        raise MalformedError(f"the payload must be of type fedkd.packed, it is {short(array.stype)}")
    return array.data


def check_schema(config: ConfigRecord) -> None:
    """Refuse messages of another version."""
    schema = number(config["schema"])
    if schema != SCHEMA:
        raise MalformedError(f"messages must have schema {SCHEMA}, this one has {schema}: update fedkd")


def _check_question(question: tuple[int, str], clients: NDArray[np.int64], asks: Asks) -> None:
    wanted = (asks.round, asks.fingerprint)
    if question != wanted:
        raise MalformedError(f"round and reference must be {wanted}, they are {question}")
    if np.any(np.diff(clients) <= 0) or not np.isin(clients, asks.clients).all():
        raise MalformedError("the answer must name only clients that were asked, each once, ascending")
