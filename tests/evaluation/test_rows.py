"""The table of result rows: what derives from it, in the orders that people are shown."""

from typing import get_args

import pytest

from fedkd.evaluation.options import EvaluationOptions
from fedkd.evaluation.rows import AT_TERMINAL, BASELINES, IN_REPORT, OURS, ROWS, USUAL, learnt_from, report_order, title
from fedkd.protocols.table import PROTOCOLS
from simulations.baselines import CENTRAL

CONFIGURED = (
    "popularity",
    "item-knn",
    "ease",
    "local-only",
    "public-teacher",
    "public-student",
    "undistilled",
    "tuned",
    "fedavg",
    "centralised",
)


def names(flag: str) -> list[str]:
    return [row.name for row in IN_REPORT if getattr(row, flag)]


def test_names_and_places_are_unique() -> None:
    assert len({row.name for row in ROWS}) == len({row.label for row in ROWS}) == len(ROWS)
    for place in ("at_terminal", "in_report"):
        assert sorted(getattr(row, place) for row in ROWS) == list(range(len(ROWS)))


def test_the_configuration_allows_every_baseline_and_takes_all_by_default() -> None:
    assert EvaluationOptions().baselines == USUAL == CONFIGURED
    assert {*BASELINES} - {*USUAL} == {"centralised-teacher"}
    kinds = get_args(EvaluationOptions.model_fields["baselines"].annotation)
    assert get_args(kinds[0]) == BASELINES


def test_every_order_is_the_one_that_people_know() -> None:
    shown = ["popularity", "item-knn", "local-only", "public-teacher", "public-student", "undistilled", "tuned"]
    best = ["teacher", "student", "listed", "centralised", "centralised-teacher", "ease"]
    assert [row.name for row in AT_TERMINAL] == [*shown, "fedavg", *best]
    alone = ["public-teacher", "public-student", "undistilled", "tuned", "local-only"]
    rivals = ["ease", "centralised", "centralised-teacher", "fedavg", *alone]
    assert [row.name for row in IN_REPORT] == ["student", "teacher", "listed", *rivals, "item-knn", "popularity"]
    assert OURS == ("student", "teacher")


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("sliced", ["student", "teacher", "listed", "ease", "popularity"]),
        ("level", ["ease", "centralised", "public-teacher", "public-student", "popularity"]),
        ("independent", ["ease", "item-knn", "popularity"]),
        ("dense", ["ease", "centralised", "item-knn"]),
        ("of_ease", ["student", "teacher", "public-teacher"]),
    ],
)
def test_what_is_done_with_a_row_is_said_by_it(flag: str, expected: list[str]) -> None:
    assert names(flag) == expected


def test_every_baseline_can_be_made() -> None:
    assert set(CENTRAL) == {row.name for row in ROWS if row.kind == "central"}
    protocols = {protocol.model_fields["name"].default for protocol in PROTOCOLS}
    assert {row.name for row in ROWS if row.kind == "protocol"} <= protocols


def test_a_model_without_a_row_is_called_by_its_name_and_stands_last() -> None:
    assert (title("own"), learnt_from("own")) == ("own", "")
    assert sorted(["own", "popularity", "student"], key=report_order) == ["student", "popularity", "own"]
