"""Catalogue messages: the whole travels, and whatever else comes is refused in words."""

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.messages import catalogue as messages
from fedkd.messages.catalogue import (
    catalogue_bytes,
    catalogue_record,
    check_size,
    holding_record,
    holds_catalogue,
    read_catalogue,
    read_holding,
)
from fedkd.messages.flower import SCHEMA, packed_record, record_bytes
from fedkd.messages.serialisation import MalformedError

FILMS = Catalogue(np.array(["1", "2"]), np.array(["Café", "Two"]), years=np.array([1990, 0]))


def test_the_whole_catalogue_travels_and_its_bytes_are_counted() -> None:
    record = catalogue_record(FILMS)
    data, found = read_catalogue(record, 2)
    assert data == FILMS.to_bytes()
    assert found.fingerprint == FILMS.fingerprint
    assert catalogue_bytes(FILMS) == record_bytes(record) > len(data)


def test_a_question_and_its_answer_are_told_apart_from_the_catalogue() -> None:
    assert holds_catalogue(catalogue_record(FILMS))
    assert not holds_catalogue(RecordDict())
    assert read_holding(holding_record(FILMS.fingerprint)) == FILMS.fingerprint
    assert read_holding(holding_record("")) == ""
    assert record_bytes(holding_record(FILMS.fingerprint)) < 100


def head(**values: Any) -> RecordDict:
    record = catalogue_record(FILMS)
    record["catalogue"] = ConfigRecord(values)
    return record


def typed(stype: str) -> RecordDict:
    array = Array(dtype="uint8", shape=(3,), stype=stype, data=b"abc")
    return RecordDict({"catalogue.data": ArrayRecord({"packed": array}), "catalogue": ConfigRecord({"schema": SCHEMA})})


@pytest.mark.parametrize(
    "record",
    [
        RecordDict(),
        holding_record("a"),
        head(),
        head(schema=SCHEMA + 1),
        head(schema="1"),
        typed("numpy.ndarray"),
        typed("fedkd.packed"),
        catalogue_record(Catalogue.numbered(3)),
        packed_record("catalogue", b"", {"schema": SCHEMA}),
        packed_record("catalogue", b"\xff" * 100, {"schema": SCHEMA}),
    ],
)
def test_a_catalogue_that_is_none_is_refused(record: RecordDict) -> None:
    with pytest.raises(MalformedError):
        read_catalogue(record, 2)


def test_a_catalogue_above_the_limit_is_neither_taken_nor_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    check_size(FILMS)
    monkeypatch.setattr(messages, "LIMIT", len(FILMS.to_bytes()) - 1)
    with pytest.raises(MalformedError, match="at most"):
        read_catalogue(catalogue_record(FILMS), 2)
    with pytest.raises(UserError, match="leave out vectors of items, or shorten titles"):
        check_size(FILMS)


@pytest.mark.parametrize(
    "record",
    [
        RecordDict(),
        RecordDict({"catalogue": ConfigRecord({"schema": SCHEMA})}),
        RecordDict({"catalogue": ConfigRecord({"schema": SCHEMA, "fingerprint": 3})}),
        RecordDict({"catalogue": ConfigRecord({"schema": 0, "fingerprint": ""})}),
        RecordDict({"catalogue": ArrayRecord()}),
    ],
)
def test_an_answer_that_says_nothing_is_refused(record: RecordDict) -> None:
    with pytest.raises(MalformedError):
        read_holding(record)
