"""Text tables: every line is a row, or counted, or refused by its number, and no message shows what stands in it."""

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedkd.data.sources import delimited
from fedkd.data.sources.delimited import Delimited, read_delimited
from fedkd.data.sources.records import Layout
from fedkd.errors import UserError

PAIRS = {"user": "user", "item": "item"}
SECRET = "zebra"


def read(folder: Path, content: str | bytes, **layout: object) -> Delimited:
    path = folder / "a.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_delimited(path, Layout(**{"columns": PAIRS, **layout}))  # type: ignore[arg-type]


def rows(found: Delimited) -> list[tuple[object, ...]]:
    return [tuple(row) for row in found.frame.astype(object).where(found.frame.notna(), None).to_numpy()]


def refused(folder: Path, content: str | bytes, message: str, **layout: object) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(folder, content, **layout)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ("user,item\nann,x\nbob,y\n", {}),
        ("user;item\r\nann;x\r\nbob;y\r\n", {"separator": ";"}),
        ("user|item\rann|x\rbob|y", {"separator": "|"}),
        ("user::item\nann::x\nbob::y", {"separator": "::"}),
        ("  user \t item\nann    x\n bob y \n", {"separator": " "}),
        ("ann\t1\tx\nbob\t2\ty\n", {"separator": "\t", "header": False, "columns": {"user": 0, "item": 2}}),
        ('"user", "item"\n"ann", "x"\nbob,"y"\n', {}),
        ("\n\nuser,item\n\nann,x\n  \nbob,y\n\n", {}),
        ("item,,user\nx,,ann\ny,7,bob\n", {}),
        (" user , item \n ann , x \n bob , y \n", {}),
    ],
)
def test_every_form_gives_the_same_rows(tmp_path: Path, text: str, layout: dict[str, object]) -> None:
    assert rows(read(tmp_path, text, **layout)) == [("ann", "x"), ("bob", "y")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252"])
def test_encodings_and_their_marks(tmp_path: Path, encoding: str) -> None:
    given = "utf-8" if encoding == "utf-8-sig" else encoding
    found = read(tmp_path, "user,item\nZoë,é\n".encode(encoding), encoding=given)
    assert rows(found) == [("Zoë", "é")]


def test_only_an_empty_field_is_missing_and_ids_are_categories(tmp_path: Path) -> None:
    names = ["NA", "null", "None", "nan", "N/A", "-", "0"]
    found = read(tmp_path, "user,item\n" + "".join(f"{name},{name}\n" for name in names) + ",\n \t,x\n")
    assert rows(found) == [*((name, name) for name in names), (None, None), (None, "x")]
    assert all(isinstance(dtype, pd.CategoricalDtype) for dtype in found.frame.dtypes)


def test_a_separator_at_the_end_of_lines_is_counted_and_nothing_else_may_stand_there(tmp_path: Path) -> None:
    found = read(tmp_path, "user,item\na,x,\nb,y\nc,z, ,\n")
    assert (rows(found), found.surplus) == ([("a", "x"), ("b", "y"), ("c", "z")], 2)
    assert read(tmp_path, "user,item,\na,x,\nb,y,\n").surplus == 2
    refused(tmp_path, f"user,item\na,x,\nb,y,,{SECRET}\n", "line 3 has 4 fields, and the header has 2")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("user,item\na,x\n" + SECRET + "\nb,y\n", 3),
        ("user,item,city\nu,x,y, z" + SECRET + "\n", 2),
        ("user,item,city\nu,x,y\n\n\nu,x\n", 5),
        ("user,item\n" + "a,x\n" * 300 + "a,x," + SECRET + "\n" + "b,y\n" * 9, 302),
    ],
)
def test_a_row_of_another_number_of_fields_is_refused_by_its_line(tmp_path: Path, text: str, line: int) -> None:
    refused(tmp_path, text, rf"a\.csv, line {line} has \d fields, and the header has [23]; .*data\.separator")


def test_without_a_header_the_first_row_tells_how_many_fields_there_are(tmp_path: Path) -> None:
    place = {"header": False, "columns": {"user": 0, "item": 1}}
    refused(tmp_path, f"a,x\nb,y,{SECRET}\n", "line 2 has 3 fields, and the first row has 2", **place)
    refused(tmp_path, "a,x\n", "no column 2 .*from 0 to 1", header=False, columns={"user": 0, "item": 2})
    assert len(read(tmp_path, "a,x", **place).frame) == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f'user,item\na,x\nu,"{SECRET}\nb,y\n', 3),
        (f'user,item\na,x\nb,"{SECRET}\nc,"echo\nd,y\n', 3),
        (f'user,item\na,"{SECRET}"s\n', 2),
        ('user,item\na,"one ""word"" \nmore"\nb,"' + SECRET, 4),
        ('user,item\na,"' + SECRET * 40_000 + '"\n', 2),
    ],
)
def test_a_quotation_mark_that_nothing_closes_is_refused_by_its_line(tmp_path: Path, text: str, line: int) -> None:
    refused(tmp_path, text, rf"line {line} has a quotation mark .*data\.quoting=none")


def test_a_quoted_field_that_may_also_be_several_rows_is_asked_about(tmp_path: Path) -> None:
    text = f'user,item,n\na,"{SECRET},1\nb,y,1\nc,z",1\nd,y,1\n'
    refused(tmp_path, text, r"line 2 begins a quoted field that ends in line 4.*data\.quoting=none.*=double")
    assert len(read(tmp_path, text, quoting="none").frame) == 4
    assert rows(read(tmp_path, text, quoting="double")) == [("a", f"{SECRET},1\nb,y,1\nc,z"), ("d", "y")]


def test_quoted_fields_may_hold_separators_marks_and_lines(tmp_path: Path) -> None:
    text = 'user,item\n"a, b","x ""y"""\n"c\nd",5" pipe\n'
    found = read(tmp_path, text)
    assert rows(found) == [("a, b", 'x "y"'), ("c\nd", '5" pipe')]
    assert found.lines == 4
    slashed = 'user;item\n"a \\"b\\"";x\n'
    assert rows(read(tmp_path, slashed, separator=";", quoting="backslash")) == [('a "b"', "x")]
    refused(tmp_path, slashed, r"line 2 .*data\.quoting=backslash", separator=";")


def test_quotation_marks_are_text_where_tabs_separate(tmp_path: Path) -> None:
    found = read(tmp_path, 'user\titem\na\t"bravo\nb\techo"\nc\t"x"\n', separator="\t")
    assert rows(found) == [("a", '"bravo'), ("b", 'echo"'), ("c", '"x"')]


@pytest.mark.parametrize(
    ("content", "message", "layout"),
    [
        (
            b"user,item\na,x\nb,\xba" + SECRET.encode(),
            r"line 3 is not text in the encoding utf-8; set data\.encoding",
            {},
        ),
        (b"user,item\na,x\n\0\0", r"line 3 holds a zero byte", {}),
        ("user,item\na,x\n".encode("utf-16-le"), r"line 1 holds a zero byte.*data\.encoding=utf-16", {}),
        (b"user,item\na,x\n" * 3 + b"\0", "is not text in the encoding utf-16", {"encoding": "utf-16"}),
        (b"user,item\n", "no row of data", {}),
        (b"\n\n", "is empty", {}),
        (b"user,user,item\n1,2,3\n", r"2 columns 'user' \(data\.user-column\)", {}),
        (b"user,item\na,x\n", "no encoding 'klingon'.*data.encoding", {"encoding": "klingon"}),
        (
            b"user,item\n" + SECRET.encode() + b",1\n",
            "no column 'who'.*columns are 'user', 'item'",
            {"columns": {"user": "who"}},
        ),
        (SECRET.encode() + b",x\nann,y\n", r"no column 'user'.*2 fields, which may be data.*data\.header=false", {}),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, message: str, layout: dict[str, object]) -> None:
    refused(tmp_path, content, message, **layout)


@pytest.mark.parametrize("separator", ["", '"', "a", "7", "\n", "\\"])
def test_separators_that_cannot_separate_are_refused(separator: str) -> None:
    with pytest.raises(UserError, match=r"data\.separator"):
        Layout({}, separator)
    with pytest.raises(UserError, match=r"data\.quoting"):
        Layout({}, "::", quoting="double")


CELLS = st.text(st.sampled_from('ab"\\\t é1'), max_size=4)


@settings(max_examples=60, deadline=None)
@given(table=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12), size=st.integers(4, 40))
def test_small_blocks_the_plain_reader_and_the_careful_one_agree(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]], size: int
) -> None:
    folder, text = tmp_path_factory.mktemp("blocks"), "user|item\n" + "".join(f"{a}|{b}\n" for a, b in table)
    with pytest.MonkeyPatch.context() as patch:
        whole = read(folder, text, separator="|", quoting="none")
        patch.setattr(delimited, "BLOCK", size)
        blocks = read(folder, text, separator="|", quoting="none")
        patch.setattr(delimited._Table, "_plain", lambda *_: None)
        careful = read(folder, text, separator="|", quoting="none")
    wanted = [tuple(cell.strip() or None for cell in row) for row in table]
    assert rows(whole) == rows(blocks) == rows(careful) == wanted
    assert whole.lines == blocks.lines == careful.lines == len(table) + 1


@settings(max_examples=60, deadline=None)
@given(
    table=st.lists(st.tuples(*2 * [st.text(st.sampled_from('ab", \n;é'), max_size=6)]), min_size=1, max_size=9),
    size=st.integers(3, 30),
    every=st.booleans(),
)
def test_quoted_tables_are_read_as_they_were_written_whatever_the_blocks(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]], size: int, every: bool
) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL if every else csv.QUOTE_MINIMAL).writerows([("user", "item"), *table])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "BLOCK", size)
        found = read(tmp_path_factory.mktemp("quoted"), out.getvalue(), quoting="double")
    assert rows(found) == [tuple(cell.strip() or None for cell in row) for row in table]
    assert found.lines == out.getvalue().replace("\r\n", "\n").count("\n")
