"""Thousands of replies that no honest client sends: each costs its answer, none the run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from numpy.typing import NDArray

from fedkd.aggregation.sums import Sum
from fedkd.messages.flower import (
    answer_record,
    attestation_record,
    is_secure,
    read_answer,
    read_attestation,
    read_secure,
    refusal_record,
    secure_record,
)
from fedkd.messages.missing import Failure, Missing
from fedkd.messages.serialisation import MalformedError
from fedkd.messages.types import Answers, Asks, Kind, Quantiser, Reference, Spec
from fedkd.ragged import Ragged
from fedkd.secure_aggregation import Directory, Identity, Party, RefusedError
from fedkd.secure_aggregation.attestation import sign_attestation
from server.node_registry import NodeRegistry
from server.requests import Requests
from server.secure import SecureExchange
from simulations.grid import FIRST_NODE, InProcessGrid

CLIENTS, LIARS, HONEST = 8, {0, 3, 7}, {1, 2, 4, 5, 6}
REFERENCE = Reference(Ragged.from_rows([[0], [1, 2]], np.int32), np.arange(3, dtype=np.int32))
SPECS = {
    "votes": Spec(Kind.SCORES, (2, 3), quantiser=Quantiser(1.0, 0, 7, 13, signed=False)),
    "model": Spec(Kind.PARAMETERS, (4,)),
    "items": Spec(Kind.RATED_ITEMS, (-1,), sums=False, dtype="int32"),
    "scores": Spec(Kind.RATED_ITEMS, (-1, 2), sums=False, dtype="float16"),
}
WHOLE = {"votes": SPECS["votes"]}

LONGS = [0, -1, 3, 2**31, 2**63 - 1, -(2**63), 2**64 - 1]
OTHERS = [True, False, 0.0, 1.0, -0.5, 1e308, float("inf"), float("nan"), b"", b"\x00", b"x" * 64, b"x" * 4096]
TEXTS = ["", "0", "1", "\x1b[2J\n", "x" * 5000, "null", "[1]", "{", "{}"]
LISTS = [[], [0], [-1], [0, 0], [3, 1], [7, 8, 9], [2**64 - 1], [-(2**63)], list(range(CLIENTS)), [*range(-9, 999, 7)]]
LISTS += [[True], [1.0], [float("nan")], ["0"], [b"0"]]
JSON = ['{"x": "abc"}', '{"x": null}', '{"x": [[1], [2]]}', '{"x": [NaN, 1e999]}', '{"\\ud800": [0, 1], "y": [0, 1]}']
JSON += [
    "[" * 100_000,
    '{"a":' * 100_000,
    '{"x": [' + "9" * 9000 + "]}",
    '{"x": [18446744073709551615]}',
    '{"": [true]}',
]
VALUES: list[Any] = [*LONGS, *OTHERS, *TEXTS, *LISTS, *JSON]


def one_of(rng: np.random.Generator, of: Any) -> Any:
    return list(of)[rng.integers(len(of))]


def other_value(rng: np.random.Generator, record: RecordDict) -> None:
    for config in record.config_records.values():
        config[one_of(rng, [*config, "refused", "reference"])] = one_of(rng, VALUES)


def other_people(rng: np.random.Generator, record: RecordDict) -> None:
    for config in record.config_records.values():
        config["clients"] = one_of(rng, LISTS)


def other_refusals(rng: np.random.Generator, record: RecordDict) -> None:
    for config in record.config_records.values():
        config["refused"] = one_of(rng, JSON)


def lost_value(rng: np.random.Generator, record: RecordDict) -> None:
    for config in record.config_records.values():
        config.pop(one_of(rng, [*config, ""]), None)


def other_record(rng: np.random.Generator, record: RecordDict) -> None:
    others = [MetricRecord({"a": 1}), ConfigRecord({"schema": 1}), ArrayRecord(), ConfigRecord()]
    record[one_of(rng, record)] = one_of(rng, others)


def renamed(rng: np.random.Generator, record: RecordDict) -> None:
    record[one_of(rng, ["who", "ask", "answer", "secure", "answer.data", ""])] = record.pop(one_of(rng, record))


def lost_record(rng: np.random.Generator, record: RecordDict) -> None:
    del record[one_of(rng, record)]


def other_bytes(rng: np.random.Generator, record: RecordDict) -> None:
    """Put bytes of some length under a true or a false description."""
    for arrays in record.array_records.values():
        for array in arrays.values():
            before = len(array.data)
            length = one_of(rng, [before, before, before + 1, max(before - 1, 0), 2 * before, 0, 1, 5000])
            array.data = one_of(rng, [rng.bytes(length), bytes(length), b"\xff" * length])
            array.dtype = one_of(rng, ["uint8", "float64", "object", ""])
            array.shape = one_of(rng, [(length,), (-1, 2**31 - 1)])
            array.stype = one_of(rng, [array.stype, array.stype, "numpy.ndarray", "", "\x1b" * 5000])


def other_name(rng: np.random.Generator, record: RecordDict) -> None:
    for arrays in record.array_records.values():
        arrays[one_of(rng, ["packed", "", "a"])] = Array(np.full(3, np.nan))
        del arrays[one_of(rng, arrays)]


DAMAGES = [other_value, other_people, other_refusals, lost_value, other_record, renamed, lost_record, other_bytes]
DAMAGES += [other_value, other_people, other_refusals, other_name]


def damaged(rng: np.random.Generator, honest: RecordDict) -> RecordDict:
    """Return a record with one to three damages, as it comes out of the wire."""
    record = recorddict_from_proto(recorddict_to_proto(honest))
    for _ in range(one_of(rng, [1, 1, 2, 3])):
        if len(record):
            one_of(rng, DAMAGES)(rng, record)
    return recorddict_from_proto(recorddict_to_proto(record))


def can_be_shown(reason: str) -> bool:
    return reason.isprintable() and len(reason) < 600


def question(clients: list[int]) -> Asks:
    return Asks(4, np.array(clients), {}, {}, REFERENCE)


def answer(clients: list[int]) -> RecordDict:
    rows = Ragged.from_rows([[5, 6]] * len(clients), np.int32)
    scores = Ragged(np.zeros((len(rows.values), 2), np.float16), rows.indptr)
    values = {"votes": np.arange(6).reshape(2, 3), "model": np.ones(4), "items": rows, "scores": scores}
    return answer_record(Answers(4, np.array(clients), values, REFERENCE.fingerprint, {Missing.REFUSED: [99]}), SPECS)


IDENTITIES = {client: Identity.generate() for client in range(CLIENTS)}
DIRECTORY = Directory({client: identity.public for client, identity in IDENTITIES.items()})


def claim(client: int) -> RecordDict:
    return attestation_record(
        np.array([client]), sign_attestation(IDENTITIES[client], DIRECTORY, FIRST_NODE + client, client)
    )


@pytest.mark.parametrize(
    ("honest", "read"),
    [
        (claim(3), read_attestation),
        (answer([0, 1, 5]), lambda record: read_answer(record, question([0, 1, 3, 5]), SPECS)),
        (secure_record(b"x" * 40), read_secure),
        (refusal_record(Failure(Missing.REFUSED, "no")), read_secure),
    ],
)
def test_what_cannot_be_read_is_malformed_and_nothing_else(
    honest: RecordDict, read: Callable[[RecordDict], object]
) -> None:
    rng, reasons = np.random.default_rng(7), list[str]()
    for _ in range(1000):
        try:
            read(damaged(rng, honest))
        except MalformedError as error:
            reasons.append(str(error))
    assert len(reasons) > 300
    assert all(can_be_shown(reason) for reason in reasons)


class Liars(InProcessGrid):
    """A node for every client; those of the liars say damaged things."""

    def __init__(self, rng: np.random.Generator, liars: set[int]) -> None:
        super().__init__(ClientApp(), {}, CLIENTS)
        self.rng, self.liars = rng, liars
        self.parties = {client: Party(own, client, DIRECTORY, 3) for client, own in IDENTITIES.items()}

    def deliver(self, message: Message) -> Message | None:
        client = message.metadata.dst_node_id - FIRST_NODE
        honest = self.honest(client, message)
        lies = client in self.liars and self.rng.random() < 0.4
        return Message(damaged(self.rng, honest) if lies else honest, reply_to=message)

    def honest(self, client: int, message: Message) -> RecordDict:
        kind = message.metadata.message_type
        if kind == "query.whoami":
            return claim(client)
        if not is_secure(message.content):
            return answer([client])
        party, (request, about) = self.parties[client], read_secure(message.content)
        told: dict[str, Callable[[], bytes]] = {
            "query.keys": lambda: party.advertise(f"{about['run']}-{about['attempt']}", int(str(about["round"]))),
            "query.shares": lambda: party.share(request),
            "train": lambda: party.mask(request, np.full(6, client + 1), 13),
            "query.unmask": lambda: party.unmask(request),
        }
        try:
            return secure_record(told[kind]())
        except RefusedError as error:
            return refusal_record(error.failure)


class Counts:
    """What was counted, client by client."""

    def __init__(self) -> None:
        self.of = {
            name: np.zeros(CLIENTS, np.int64) for name in ("down-bytes", "up-bytes", "failed", "handshake-bytes")
        }

    def __call__(self, name: str, clients: NDArray[np.int64], amount: NDArray[np.int64] | int) -> None:
        self.of[name][clients] += amount


@pytest.mark.parametrize("directory", [None, DIRECTORY])
def test_everyone_who_is_asked_answers_or_fails_once_whatever_is_said(directory: Directory | None) -> None:
    rng = np.random.default_rng(8)
    for _ in range(50):
        grid, counts = Liars(rng, LIARS), Counts()
        questions = Requests(NodeRegistry(grid, CLIENTS, 1.0, directory), counts)
        questions.connect(0.0)
        asked = questions.connected
        assert directory is None or set(asked.tolist()) >= HONEST
        for _ in range(3):
            questions.write(question(asked.tolist()), "train", "down-bytes")
            replies = questions.send()
            usable = [answers.clients for answers in questions.read(replies, Sum(SPECS), "up-bytes")]
            answered = np.concatenate([*usable, asked[:0]])
            assert directory is None or set(answered.tolist()) >= HONEST
            outcomes = counts.of["failed"].copy()
            outcomes[answered] += 1
            assert outcomes.tolist() == np.isin(np.arange(CLIENTS), asked).astype(int).tolist()
            counts.of["failed"][:] = 0
            assert all(can_be_shown(str(failure)) for failure in questions.failures.values())
            questions.failures.clear()


def test_a_secure_sum_holds_every_honest_client_whatever_the_others_say() -> None:
    rng, sums = np.random.default_rng(9), 0
    for number in range(80):
        grid = Liars(rng, LIARS)
        secure = SecureExchange(DIRECTORY, f"run {number}", "1", 3, 1.0)
        asked = {FIRST_NODE + client: question([client]) for client in range(CLIENTS)}
        total = secure.sum(grid, "train", asked, Sum(WHOLE))
        assert all(can_be_shown(str(failure)) for failure in secure.failures.values())
        if total is not None:
            sums += 1
            assert set(total.clients.tolist()) >= HONEST
            assert set(total.clients.tolist()).isdisjoint(secure.failures)
    assert sums > 40
