"""What is not stated about a text table: detected where one reading is possible, asked for where two are."""

from pathlib import Path

import pytest

from fedkd.data.sources.base import Loaded
from fedkd.data.sources.table_file import TableFile
from fedkd.errors import UserError

HEAD, BODY = ["user", "item", "at"], [[f"u{u}", f"i{i}", f"16000000{u}{i}"] for u in range(3) for i in range(u, u + 3)]
PLACES = {"header": False, "user_column": 0, "item_column": "1"}


def loaded(folder: Path, text: str | bytes, **given: object) -> Loaded:
    path = folder / "rows"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return TableFile.model_validate({"path": path, **given}).cleaned()


def joined(separator: str, *, header: bool = True, form: str = "{}") -> str:
    lines = [HEAD, *BODY] if header else BODY
    return "".join(separator.join(map(form.format, line)) + "\n" for line in lines)


SEPARATORS = {
    "\t": "tab",
    "::": "double colon",
    ";": "semicolon",
    ",": "comma",
    "|": "bar",
    " ": "blanks",
    "    ": "blanks",
}


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("separator", SEPARATORS)
def test_separators_are_found_and_said(tmp_path: Path, separator: str, header: bool) -> None:
    found = loaded(tmp_path, joined(separator, header=header), **({} if header else PLACES))
    assert len(found.interactions) == 9
    assert f"separated by {SEPARATORS[separator]}" in found.how
    assert ("named in the first line" in found.how) == header


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
def test_files_whose_every_field_is_quoted_are_read_without_the_marks(tmp_path: Path, separator: str) -> None:
    found = loaded(tmp_path, joined(separator, form='"{}"'))
    assert found.interactions.users.tolist() == ["u0", "u1", "u2"]
    assert "surround fields" in found.how


def test_the_wanted_names_tell_which_separator_counts(tmp_path: Path) -> None:
    assert loaded(tmp_path, "user;item;a,b\nu;x;1,5\nu;y;2,5\n").interactions.users.tolist() == ["u"]
    decimal = "u;x;1,5\nu;y;2,5\n"
    with pytest.raises(UserError, match=r"split by semicolon or comma; set data\.separator"):
        loaded(tmp_path, decimal, **PLACES)
    assert len(loaded(tmp_path, decimal, separator=";", **PLACES).interactions) == 2


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_at_the_beginning_tells_the_encoding(tmp_path: Path, mark: str) -> None:
    assert loaded(tmp_path, "user,item\nZoë,1\nZoë,2\n".encode(mark)).interactions.users.tolist() == ["Zoë"]


def test_one_byte_of_another_encoding_is_refused_with_its_line_and_the_key_that_mends_it(tmp_path: Path) -> None:
    text = joined(",").encode() + b"u0,\xba,1600000099\n"
    with pytest.raises(UserError, match=r"line 11 is not text in the encoding utf-8; set data\.encoding.* latin-1"):
        loaded(tmp_path, text)
    assert "º" in loaded(tmp_path, text, encoding="latin-1").interactions.catalogue.ids


DATA = [
    "AU0X,B0020,1.0\nAU0X,B0021,2.0\n",
    "1 20\n1 21\n2 20\n2 22\n",
    "ann,x\nann,y\nbob,x\n",
    "u1,i1,2012-04-03\nu2,i2,2012-04-04\n",
]


@pytest.mark.parametrize("text", DATA)
@pytest.mark.parametrize("named", [False, True])
def test_a_first_row_that_is_data_is_said_to_be_and_shown_to_nobody(tmp_path: Path, text: str, named: bool) -> None:
    first = text.splitlines()[0].replace(",", " ").split()
    names = {"user_column": first[0], "item_column": first[1]} if named else {}
    with pytest.raises(UserError, match=r"first line .*data.*data\.header=false.*position") as caught:
        loaded(tmp_path, text, **names)
    assert not any(cell in str(caught.value).partition("rows")[2] for cell in first if len(cell) > 1)
    assert loaded(tmp_path, text, min_user_interactions=1, **PLACES).interactions.num_users == len(
        {line.replace(",", " ").split()[0] for line in text.splitlines()}
    )


def test_a_first_row_whose_names_stand_further_down_is_asked_about(tmp_path: Path) -> None:
    text = "".join(f"u{n},i{n % 7}\n" for n in range(300))
    repeated = "user,item\n" + text + "user,item\n"
    with pytest.raises(UserError, match=r"data\.user-column is a value .* data\.header"):
        loaded(tmp_path, repeated)
    assert loaded(tmp_path, "user,item\n" + text, min_user_interactions=1).interactions.num_users == 300
    assert loaded(tmp_path, repeated, header=True, min_user_interactions=1).interactions.num_users == 301


def test_columns_that_are_named_by_numbers(tmp_path: Path) -> None:
    numbered = ",0,1,2\n" + "".join(f"{n},{n // 2},{20 + n},1.0\n" for n in range(8))
    names = {"user_column": 0, "item_column": 1}
    assert loaded(tmp_path, numbered, **names).interactions.users.tolist() == ["0", "1", "2", "3"]
    named = "2019,2020\nu,x\nu,y\n"
    with pytest.raises(UserError, match=r"data\.header=true"):
        loaded(tmp_path, named, user_column=2019, item_column=2020)
    assert len(loaded(tmp_path, named, user_column=2019, item_column=2020, header=True).interactions) == 2
    odd = loaded(tmp_path, "true,1.5\nu,x\nu,y\n", user_column=True, item_column=1.5, header=True)
    assert odd.interactions.users.tolist() == ["u"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"header": False}, r"needs positions .*data\.user-column is 'user'"),
        ({"header": False, "user_column": 0, "item_column": 9}, r"no column 9 \(data\.item-column\); .* 0 to 2"),
        ({"user_column": ""}, r"data\.user-column is empty"),
        ({"item_column": "user"}, r"data\.user-column and data\.item-column are both 'user'"),
        ({"user_column": "usr"}, r"no column 'usr'.*did you mean 'user'"),
        ({"encoding": "base64"}, r"no encoding 'base64'"),
        ({"encoding": "klingon"}, r"no encoding 'klingon' \(data\.encoding\)"),
        ({"separator": "::", "quoting": "double"}, r"data\.quoting=double needs a separator of one character"),
        ({"time_column": "item"}, r"times look like '.*no known form"),
        ({"separator": ";"}, r"data\.separator is wrong"),
    ],
)
def test_what_is_stated_and_cannot_be_is_refused(tmp_path: Path, given: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        loaded(tmp_path, joined(","), **given)


def test_blank_lines_and_surplus_separators_are_said(tmp_path: Path) -> None:
    found = loaded(tmp_path, joined(",").replace("\n", ",\n") + "\n\n")
    assert found.how.endswith("2 blank lines, 9 rows with empty surplus fields")
    assert found.dropped == {}
