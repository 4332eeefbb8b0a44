"""JSON lines and Python dictionaries: what a value means, and what is refused by its line, which is not shown."""

from pathlib import Path
from typing import Any

import pytest

from fedkd.data.formats import json_lines
from fedkd.data.formats.json_objects import JSONLines
from fedkd.errors import UserError
from tests.data.sources.tiny import histories

GOOD = '{"user": "ann", "item": 1, "at": 5}\n{"user": "ann", "item": 2, "at": 4}\n'


def source(folder: Path, text: str | bytes, **options: Any) -> JSONLines:
    (folder / "a.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    return JSONLines.model_validate({"path": folder / "a.json", **options})


def test_times_order_a_history_and_ids_are_numbers_or_text(tmp_path: Path) -> None:
    text = GOOD + '\n{"item": 3.0, "user": "7", "at": 1, "x": [{}]}\n{"item": "04", "user": 7, "at": 2}\n'
    loaded = source(tmp_path, text, time_key="at").load()
    assert histories(loaded.interactions) == {"7": ["3.0", "04"], "ann": ["2", "1"]}
    assert loaded.how == "files a.json, times as seconds"


def test_what_is_missing_is_counted(tmp_path: Path) -> None:
    text = GOOD + '{"user": null, "item": 1}\n{"item": 2}\n{"user": "", "item": 2}\n{"user": "ann", "item": NaN}\n'
    loaded = source(tmp_path, text, largest_loss=1).load()
    assert histories(loaded.interactions) == {"ann": ["1", "2"]}
    assert loaded.dropped == {"missing user or item id": 4}
    with pytest.raises(UserError, match="4 of 6 rows would be left out"):
        source(tmp_path, text).load()


def test_lists_of_rows_may_stand_in_a_line(tmp_path: Path) -> None:
    lines = (
        '{"who": 1, "bought": [{"item": 5}, {"item": 6, "who": 2}]}',
        '{"who": 2, "bought": []}',
        '{"who": 2, "bought": [{"item": 5}]}',
    )
    text = "\n".join(lines)
    given = {"user_key": "who", "inner_key": "bought", "min_user_interactions": 1}
    assert histories(source(tmp_path, text, **given).load().interactions) == {"1": ["5"], "2": ["6", "5"]}
    with pytest.raises(UserError, match="line 1 has no list of objects 'what'"):
        source(tmp_path, text, user_key="who", inner_key="what").load()


def test_python_dictionaries_are_evaluated_and_run_nothing(tmp_path: Path) -> None:
    text = "{u'user': u'it\\'s', u'item': 1, u'x': None}\n{u'user': \"it's\", 'item': 2, 'y': (1, True)}\n"
    assert histories(source(tmp_path, text).load().interactions) == {"it's": ["1", "2"]}
    mark = tmp_path / "mark"
    with pytest.raises(UserError, match="line 2 is no complete JSON object"):
        source(tmp_path, f"{{'user': 1, 'item': 2}}\n{{'user': open({str(mark)!r}, 'w'), 'item': 2}}\n").load()
    assert not mark.exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"user": "secret", "item": 3', "line 3 is no complete JSON object"),
        ('"secret"', "line 3 is no complete JSON object"),
        ('{"user": "secret", "item": 3} {"user": 2, "item": 4}', "line 3 is no complete"),
        ('{"user": "secret", "item": 3, "user": "b"}', "every key once"),
        ('{"user": ["secret"], "item": 3}', "line 3 has something else than a text or a number as 'user'"),
        ('{"user": true, "item": 3}', "line 3 has something else"),
        ('{"user": "secret\\ud800", "item": 3}', "line 3 has something else"),
        ('{"user": "secret\x01", "item": 3}', "line 3 is no complete"),
        ('{"user": "secret\0", "item": 3}', "line 3 holds a zero byte"),
        ('{"user": "secret",\r"item": 3}', "line 3 has a carriage return inside"),
        (b'{"user": "secret\xe9", "item": 3}', "line 3 is not UTF-8"),
        ("[" * 100_000, "line 3 is no complete|one JSON array"),
    ],
)
def test_a_line_that_is_no_row_is_refused_by_its_number(tmp_path: Path, line: str | bytes, message: str) -> None:
    data = GOOD.encode() + (line if isinstance(line, bytes) else line.encode())
    with pytest.raises(UserError, match=message) as caught:
        source(tmp_path, data).load()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"user": 1, "item": 2}]', r"one JSON array; write one object a line, for example with jq -c '\.\[\]'"),
        ('{"name": 1, "item": 2}', "no line with a key 'user'"),
        ("", "empty"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        source(tmp_path, text).load()


def test_more_rows_than_a_chunk_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "CHUNK", 7)
    text = "".join(f'{{"user":{at // 10},"item":{at % 10}}}\n' for at in range(101))
    data = source(tmp_path, text, min_user_interactions=1).load().interactions
    assert (len(data), data.num_users, data.num_items) == (101, 11, 10)
