"""Times: told apart where one reading is possible, asked for where two are, and never shown."""

import pandas as pd
import pytest

from fedkd.data.sources import times
from fedkd.data.sources.times import seconds
from fedkd.errors import UserError

NOON = pd.Timestamp("2012-04-23T12:00:00Z").timestamp()


def read(values: list[str | None], stated: str = "") -> list[float | None]:
    found, _ = seconds(pd.Series(values, dtype="string"), stated)
    return [None if pd.isna(value) else value for value in found]


@pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
def test_units_are_told_apart_by_size(factor: int) -> None:
    assert read([str(int(NOON) * factor), str(1_000_000_000 * factor), None, "soon"]) == [NOON, 1e9, None, None]


@pytest.mark.parametrize(
    ("text", "of_day"),
    [
        ("2012-04-23T12:00:00Z", True),
        ("2012-04-23 12:00", True),
        ("2012-04-23T14:00:00.000+02:00", True),
        ("2012-04-23 12:00:00 UTC", True),
        ("20120423T120000", True),
        ("2012/04/23", False),
        ("Mon Apr 23 12:00:00 +0000 2012", True),
        ("Mon Apr 23 12:00:00 2012", True),
        ("Mon, 23 Apr 2012 12:00:00 +0000", True),
        ("04 23, 2012", False),
        ("Apr 23, 2012", False),
        ("April 23, 2012", False),
        ("23 Apr 2012 12:00:00", True),
        ("4/23/2012 12:00:00 PM", True),
        ("23/4/2012 12:00", True),
        ("23.04.2012 12:00:00", True),
        ("23-04-2012", False),
    ],
)
def test_usual_texts_with_one_reading_are_read(text: str, of_day: bool) -> None:
    assert read([text, None]) == [NOON if of_day else NOON - 43_200, None]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1/2/2012", "3/4/2012"], r"no time has a day above 12.*'%m/%d/%Y' or '%d/%m/%Y'"),
        (["11/1/2019 8:55:22 AM"], r"'%m/%d/%Y %I:%M:%S %p' or '%d/%m/%Y %I:%M:%S %p'"),
        (["13/01/2012", "01/13/2012", "1/1/2012"], "some times need the one and some the other"),
        (["20150101", "20150228", "20150231"], r"8 digits .*data\.time-format=%Y%m%d .* s, ms, us, ns"),
        (["2015010112"], r"=%Y%m%d%H "),
        (["20150101123000"], r"=%Y%m%d%H%M%S "),
        (["201501", "201502.0"], r"=%Y%m "),
        (["2015", "2016"], r"=%Y "),
        (["yesterday", "today at 5"], r"look like 'a.*no known form; read are .*ISO 8601.*data\.time-format"),
        (["23.4.12"], r"look like 'dd\.d\.dd'"),
    ],
)
def test_what_has_two_readings_or_none_is_asked_for(values: list[str | None], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read([*values, None])
    assert not any(value and value in str(caught.value) for value in values if len(str(value)) > 4)


def test_each_form_that_a_question_names_answers_it() -> None:
    assert read(["1/2/2012"], "%m/%d/%Y") == read(["2012-01-02"])
    assert read(["1/2/2012"], "%d/%m/%Y") == read(["2012-02-01"])
    assert read(["20150101", "x"], "%Y%m%d") == [*read(["2015-01-01"]), None]
    assert read(["20150101", "x"], "s") == [20150101.0, None]
    assert read(["5", "1500"], "ms") == [0.005, 1.5]
    assert read(["2012-04-23", "5"], "iso") == [NOON - 43_200, None]


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("S", "allowed are s, ms, us, ns, iso"),
        ("%Q", "no format of dates"),
        ("%d.%m.%Y", "no time has this form.*'dddd'"),
    ],
)
def test_a_stated_form_that_reads_nothing_is_refused(stated: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"data\.time-format is .*{message}"):
        read(["1999"], stated)


@pytest.mark.parametrize("none", ["inf", "-inf", "nan", "100000000000000", "-99999999999", "1e400", "9" * 400])
def test_a_number_that_is_no_date_cannot_be_read(none: str) -> None:
    assert read(["1600000000", none, "1600000001"]) == [1.6e9, None, 1.6e9 + 1]


def test_empty_dates_of_other_systems_and_numbers_of_another_unit_cannot_be_read() -> None:
    assert read(["2012-04-23", "0001-01-01", "9999-12-31"]) == [NOON - 43_200, None, None]
    assert read(["1600000000000", "1600000000001", "1600000000"]) == [1.6e9, 1_600_000_000.001, None]


def test_small_numbers_are_counts_and_nothing_at_all_is_no_time() -> None:
    assert read(["3", "1", "0", "-2"]) == [3, 1, 0, -2]
    assert read([None, None]) == [None, None]
    assert read([]) == []


def test_types_of_a_file_count_as_they_are() -> None:
    dates = pd.Series(pd.to_datetime(["2012-04-23T12:00:00", None, "0001-01-01"], format="ISO8601"))
    found, words = seconds(dates)
    assert (found[0], found.isna().tolist(), words) == (NOON, [False, True, True], "dates")
    assert seconds(pd.Series([1_600_000_000_000, None]))[0][0] == 1.6e9
    with pytest.raises(UserError, match="=%Y%m%d "):
        seconds(pd.Series([20150101, 20150102]))
    assert seconds(pd.Series([20150101]), "%Y%m%d")[0][0] == read(["2015-01-01"])[0]


def test_long_columns_are_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read([f"2012-04-{day:02}" for day in range(1, 31)])
    monkeypatch.setattr(times, "BLOCK", 7)
    assert read([f"2012-04-{day:02}" for day in range(1, 31)]) == whole
    assert whole[22] == NOON - 43_200
