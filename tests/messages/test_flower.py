import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedkd.messages.flower import (
    answer_bytes,
    answer_record,
    ask_bytes,
    ask_record,
    read_answer,
    read_ask,
    record_bytes,
)
from fedkd.messages.missing import Missing
from fedkd.messages.serialisation import MalformedError
from fedkd.messages.types import Answers, Asks, Kind, Quantiser, Reference, Spec
from fedkd.ragged import Ragged

REFERENCE = Reference(Ragged.from_rows([[0], [1, 2]], np.int32), np.arange(3, dtype=np.int32))
SPECS = {"y": Spec(Kind.SCORES, (2, 3), quantiser=Quantiser(1.0, 0, 7, 13, signed=False))}


def asks() -> Asks:
    own = {"items": Ragged.from_rows([[5, 6], [], [7]], np.int32)}
    return Asks(4, np.array([2, 130, 900]), {"a": np.ones((2, 2), np.float16)}, own, REFERENCE)


def answers(clients: tuple[int, ...] = (2, 900)) -> Answers:
    return Answers(4, np.array(clients), {"y": np.arange(6).reshape(2, 3)}, REFERENCE.fingerprint)


def test_asks_come_back() -> None:
    back = read_ask(ask_record(asks()))
    assert back.round == 4
    assert back.clients.tolist() == [2, 130, 900]
    assert back.shared["a"].dtype == np.float16
    assert back.own["items"][2].tolist() == [7]
    assert back.reference is not None
    assert back.reference.fingerprint == REFERENCE.fingerprint


def test_answers_come_back() -> None:
    back = read_answer(answer_record(answers(), SPECS), asks(), SPECS)
    assert back.clients.tolist() == [2, 900]
    assert back.values["y"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_bytes_of_a_client_are_those_of_his_own_message() -> None:
    alone = [record_bytes(ask_record(asks().take(np.array([client])))) for client in (2, 130, 900)]
    assert ask_bytes(asks()).tolist() == alone
    assert answer_bytes(answers(), SPECS).tolist() == [record_bytes(answer_record(answers((900,)), SPECS))] * 2


def damaged(**changes: object) -> RecordDict:
    record = answer_record(answers(), SPECS)
    for key, value in changes.items():
        record["answer"][key] = value
    return record


@pytest.mark.parametrize(
    ("record", "word"),
    [
        (damaged(schema=99), "schema"),
        (damaged(round=3), "round"),
        (damaged(reference="0" * 16), "reference"),
        (damaged(clients=[2, 2]), "each once"),
        (damaged(clients=[2, 3]), "that were asked"),
        (damaged(clients="two"), "cannot be read"),
        (RecordDict(), "cannot be read"),
        (RecordDict({"answer": ConfigRecord({"schema": 1})}), "cannot be read"),
        (damaged(refused="{"), "cannot be read"),
        (damaged(refused="[1]"), "cannot be read"),
        (damaged(clients=[2**64 - 1]), "cannot be read"),
        (damaged(clients=[2.0]), "cannot be read"),
        (damaged(round=True), "cannot be read"),
        (damaged(schema=1.0), "cannot be read"),
        (damaged(reference=["a"]), "cannot be read"),
    ],
)
def test_a_malformed_answer_says_what_is_wrong(record: RecordDict, word: str) -> None:
    with pytest.raises(MalformedError, match=word):
        read_answer(record, asks(), SPECS)


def test_another_payload_type_is_malformed() -> None:
    record = answer_record(answers(), SPECS)
    record["answer.data"] = ArrayRecord({"packed": Array(np.zeros(3, np.float32))})
    with pytest.raises(MalformedError, match=r"fedkd\.packed"):
        read_answer(record, asks(), SPECS)


def test_an_answer_about_nobody_is_legal() -> None:
    nobody = Answers(4, np.zeros(0, np.int64), {}, REFERENCE.fingerprint, {Missing.NOT_FINITE: [2]})
    back = read_answer(answer_record(nobody, SPECS), asks(), SPECS)
    assert len(back.clients) == 0
    assert back.refused == {Missing.NOT_FINITE: [2]}
