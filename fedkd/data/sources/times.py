"""Times as people's tables write them: numbers of four units, ISO 8601, and the usual texts; never guessed."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from fedkd.data.sources.header import shape
from fedkd.data.years import FIRST, LAST
from fedkd.errors import UserError

BLOCK = 1_000_000
"""Times that are parsed together, so that few of them are Python objects at once."""
SAMPLE = 200
"""Times by which a form is chosen."""
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
LARGEST_SECOND = 1e11
"""Larger numbers (the year 5138 in seconds) are of a finer unit: every thousandfold is the next one."""
SMALLEST_SECOND = 1e8
"""Smaller numbers (the year 1973 in seconds) may be counts, from zero, in any unit."""
EARLIEST, LATEST = (int(np.datetime64(str(year), "s").astype(np.int64)) for year in (FIRST, LAST + 1))
"""Other seconds are no times: they stand for an unknown one, such as 0001-01-01, or are a slip."""

WHOLE = r"\.0+$"
"""The characters after a whole number in a column of numbers that has gaps."""
ISO = "iso"
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
TEXTS = (
    "%a %b %d %H:%M:%S %z %Y",
    "%a %b %d %H:%M:%S %Y",
    "%a, %d %b %Y %H:%M:%S %z",
    "%m %d, %Y",
    *(day + clock for day in ("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y") for clock in CLOCKS),
)
"""Texts with one reading: of Twitter and Foursquare, C, mail, Amazon, and days with the month's name."""
NUMBERED = tuple((f"%m{mark}%d{mark}%Y{clock}", f"%d{mark}%m{mark}%Y{clock}") for mark in "/.-" for clock in CLOCKS)
"""Texts with two readings, month first and day first; a day above 12 decides."""
COMPACT = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
"""Dates written as one number, by its digits, which seconds and milliseconds can look like."""
READ = (
    "read are numbers of seconds, milli-, micro- or nanoseconds since 1970, ISO 8601 (2012-04-03T18:00:06Z), "
    "'Tue Apr 03 18:00:06 +0000 2012', '07 9, 2012', 'Apr 3, 2012', and 04/23/2012 or 23.04.2012 "
    "with or without a time of day"
)


@dataclass(frozen=True)
class Form:
    """A way to read a time.

    Attributes
    ----------
    name : str
        As ``data.time-format`` states it: ``s``, ``ms``, ``us``, ``ns``, ``iso``, or a format of ``strptime``.
    """

    name: str

    @property
    def words(self) -> str:
        """The form for a person to read."""
        return NAMES.get(self.name) or ("ISO 8601" if self.name == ISO else self.name)

    def read(self, texts: pd.Series) -> "pd.Series[float]":
        """Return seconds since 1970, NaN where a time has another form or is none."""
        return _possible(self.parsed(texts))

    def parsed(self, texts: pd.Series) -> "pd.Series[float]":
        """Return seconds since 1970 of what has this form, whether it can be a time or not."""
        return self._numbers(texts) if self.name in UNITS else self._dates(texts)

    def _numbers(self, texts: pd.Series) -> "pd.Series[float]":
        numbers, unit = numbers_of(texts), UNITS[self.name]
        size = numbers.abs()
        coarser = (size >= SMALLEST_SECOND) & (size < LARGEST_SECOND * unit / 1000) & (unit > 1)
        return numbers.mask(coarser) / unit

    def _dates(self, texts: pd.Series) -> "pd.Series[float]":
        form = "ISO8601" if self.name == ISO else self.name
        plain = texts.astype("string")
        plain = plain.str.removesuffix(" UTC") if self.name == ISO else plain.str.replace(WHOLE, "", regex=True)
        return _since_1970(pd.to_datetime(plain, errors="coerce", utc=True, format=form))


def numbers_of(texts: pd.Series) -> "pd.Series[float]":
    """Return the numbers that texts are, NaN for others."""
    if isinstance(texts.dtype, pd.StringDtype):
        with suppress(pa.ArrowInvalid):  # one that is no number: the slower way finds it
            found = pa.array(texts, from_pandas=True).cast(pa.float64())
            return pd.Series(found.to_numpy(zero_copy_only=False), texts.index)
    return pd.to_numeric(texts, errors="coerce").astype("float64")


def seconds(column: pd.Series, stated: str = "") -> "tuple[pd.Series[float], str]":
    """Return the times of a column in seconds since 1970, NaN where one cannot be read, and how they were read.

    Parameters
    ----------
    column : Series
        Texts, empty ones missing, or times of a table that knows them as such.
    stated : str
        The form, as of ``data.time-format``; detected where it is empty.

    Raises
    ------
    UserError
        No form is known that reads most of them, or two forms do; no message shows a time.
    """
    if stated_as_dates(column):
        return _possible(_since_1970(column)), "dates"
    form = _stated(stated, column) if stated else detected(column)
    return blockwise(form.read, column), form.words


def stated_as_dates(column: pd.Series) -> bool:
    """Whether a table that knows types calls a column times or dates."""
    return pd.api.types.is_datetime64_any_dtype(column) or (
        pd.api.types.is_object_dtype(column) and pd.api.types.infer_dtype(column.iloc[:SAMPLE]) in ("date", "datetime")
    )


def _since_1970(dates: pd.Series) -> "pd.Series[float]":
    """Return dates in seconds, by way of their own unit, which no date of theirs overflows."""
    values = pd.to_datetime(dates, utc=True).dt.tz_localize(None).to_numpy()
    unit, count = np.datetime_data(values.dtype)
    found = values.astype(np.int64) * (count / UNITS[unit])
    return pd.Series(np.where(np.isnat(values), np.nan, found), dates.index)


def _possible(found: "pd.Series[float]") -> "pd.Series[float]":
    """Return seconds, NaN where they are no time."""
    return found.where((found >= EARLIEST) & (found < LATEST))


def blockwise(read: Callable[[pd.Series], "pd.Series[float]"], column: pd.Series) -> "pd.Series[float]":
    """Return what a function makes of a column, some rows at a time."""
    out = np.empty(len(column))
    for begin, part in _blocks(column):
        out[begin : begin + len(part)] = read(part)
    return pd.Series(out, column.index)


def _blocks(column: pd.Series) -> Iterator[tuple[int, pd.Series]]:
    for begin in range(0, len(column), BLOCK):
        yield begin, column.iloc[begin : begin + BLOCK]


def _stated(name: str, column: pd.Series) -> Form:
    if name not in UNITS and name != ISO and "%" not in name:
        raise UserError(
            f"data.time-format is {name!r}; allowed are {', '.join(UNITS)}, {ISO}, or a format such as "
            "'%Y-%m-%d %H:%M:%S'"
        )
    form, sample = Form(name), _sample(column)
    try:
        unread = len(sample) and not form.read(sample).notna().any()
    except ValueError:  # a letter that no format has; the reason quotes a time
        raise UserError(
            f"data.time-format is {name!r}, which is no format of dates; such as '%d.%m.%Y %H:%M'"
        ) from None
    if unread:
        raise UserError(
            f"data.time-format is {form.words}, and no time has this form; they look like {_looks(sample)} (d is a "
            "digit, a a word)"
        )
    return form


def _sample(column: pd.Series) -> pd.Series:
    """Return some of the times that are there, from the whole column."""
    steps = np.unique(np.linspace(0, max(0, len(column) - 1), 5 * SAMPLE).astype(np.int64))
    return column.iloc[steps if len(column) else []].dropna().drop_duplicates().iloc[:SAMPLE].astype("string")


def _looks(sample: pd.Series) -> str:
    """Return the commonest form of some times, without their content."""
    return repr(sample.map(shape).mode().iloc[0][:60]) if len(sample) else "nothing: all are empty"


def detected(column: pd.Series) -> Form:
    """Return the one form that reads most of the times.

    Raises
    ------
    UserError
        There is none, or two of them are possible.
    """
    sample = _sample(column)
    if not len(sample):
        return Form("s")
    numbers = numbers_of(sample)
    if 2 * numbers.notna().sum() > len(sample):
        return _unit(column, numbers.dropna(), sample)
    forms = [form for form in map(Form, (ISO, *TEXTS)) if _reads(form, sample)]
    if forms:
        return forms[0]
    for month, day in (map(Form, pair) for pair in NUMBERED):
        if 2 * int((month.parsed(sample).notna() | day.parsed(sample).notna()).sum()) > len(sample):
            return _day_or_month(column, month, day)
    raise UserError(
        f"the times look like {_looks(sample)} (d is a digit, a a word), which is no known form; "
        f"{READ}; set data.time-format to another form, for example '%d.%m.%y', or choose another column"
    )


def _reads(form: Form, sample: pd.Series) -> bool:
    return 2 * int(form.parsed(sample).notna().sum()) > len(sample)


def _unit(column: pd.Series, numbers: "pd.Series[float]", sample: pd.Series) -> Form:
    """Return the unit that the size of most numbers tells, unless they can be dates too."""
    whole = sample[numbers_of(sample).notna()].str.replace(WHOLE, "", regex=True)
    like_dates = whole[whole.str.fullmatch(r"(19|20)\d{2,12}")]
    for digits, name in COMPACT.items() if len(like_dates) else ():
        dates = Form(name).read(like_dates[like_dates.str.len() == digits])
        if 2 * int(dates.notna().sum()) > len(whole):
            raise UserError(
                f"the times are numbers of {digits} digits that may be dates or a count of seconds; set "
                f"data.time-format={name} if they are dates, or to one of {', '.join(UNITS)} if they count from 1970"
            )
    size = float(numbers[np.isfinite(numbers)].abs().median())
    steps = [LARGEST_SECOND * unit for unit in UNITS.values()]
    return Form(next((name for name, largest in zip(UNITS, steps, strict=True) if size < largest), "ns"))


def _day_or_month(column: pd.Series, month: Form, day: Form) -> Form:
    """Return the one of two forms that reads more; a day above 12 tells them apart."""
    by_month, by_day = (blockwise(form.read, column).notna().to_numpy() for form in (month, day))
    only_month, only_day = int((by_month & ~by_day).sum()), int((by_day & ~by_month).sum())
    if bool(only_month) == bool(only_day):
        found = "some times need the one and some the other" if only_month else "no time has a day above 12"
        raise UserError(
            f"the times may have the month first or the day first: {found}; set data.time-format to '{month.name}' or "
            f"'{day.name}'"
        )
    return month if only_month else day
