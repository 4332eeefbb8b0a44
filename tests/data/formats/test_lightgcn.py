"""LightGCN's lines of whole numbers: what they mean, what is counted, and what is another form of file."""

from pathlib import Path

import pytest

from fedkd.data.formats.lightgcn import LightGCN
from fedkd.data.guess import guesses
from fedkd.data.sources.table import SOURCES
from fedkd.errors import UserError
from tests.data.sources.tiny import histories, unpacked


def test_lines_give_histories_and_the_official_test(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "a", {"train.txt": "0 5 3\n1 3 4 9\n\n", "test.txt": "0 9\n1 5\n2\n"})
    loaded = LightGCN(path=folder).load()
    assert histories(loaded.interactions) == {"0": ["5", "3", "9"], "1": ["3", "4", "9", "5"]}
    assert loaded.official_test is not None
    assert loaded.official_test.tolist() == [False, False, True, False, False, False, True]
    assert loaded.how == "files train.txt, test.txt"


def test_one_file_has_no_test_part(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "a", {"all.txt": "7 1 2\n"})
    loaded = LightGCN(path=folder / "all.txt").load()
    assert histories(loaded.interactions) == {"7": ["1", "2"]}
    assert loaded.official_test is None


def test_the_validation_part_is_read_and_said(tmp_path: Path) -> None:
    files = {"train.txt": "0 1 2 3\n1 2 3 4\n", "valid.txt": "0 6\n1 7\n", "test.txt": "0 4\n1 5\n"}
    loaded = LightGCN(path=unpacked(tmp_path / "a", files)).load()
    assert histories(loaded.interactions) == {"0": ["1", "2", "3", "6", "4"], "1": ["2", "3", "4", "7", "5"]}
    assert loaded.official_test is not None
    assert loaded.official_test.sum() == 2
    assert loaded.how == "files train.txt, valid.txt, test.txt"


def test_a_mark_at_the_beginning_is_no_part_of_a_user_and_a_line_without_items_is_counted(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(b"\xef\xbb\xbf0 5 3\n1 3 4\n2\n-7 3 5\n")
    loaded = LightGCN(path=tmp_path).load()
    assert histories(loaded.interactions) == {"-7": ["3", "5"], "0": ["5", "3"], "1": ["3", "4"]}
    assert loaded.dropped == {"user without items: their line names none": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("\n \n", "empty"),
        ("0 1 2\n0 a b\n", r"line 2 .*whole numbers"),
        ("0 1.5 2\n", r"line 1 .*whole numbers"),
        ("0 007\n", r"line 1 .*whole numbers"),
        ("0 1_0 2\n", r"line 1 .*whole numbers"),
        ("0 1 \0\n", r"line 1 holds a zero byte"),
        ("0 10 1\n0 11 1\n1 10 1\n", "1 users come on several lines"),
        ("11 12 13\n11 14 15 16\n", "`fedkd data guess` says which"),
    ],
)
def test_text_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        LightGCN(path=tmp_path).load()


def test_a_folder_without_train_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("0 1 2\n")
    with pytest.raises(UserError, match=r"train\.txt"):
        LightGCN(path=tmp_path).load()


PAIRS = [(user, 10 + (user + step) % 9) for user in range(5) for step in range(4)]


@pytest.mark.parametrize(
    ("name", "text", "source", "users", "items"),
    [
        ("train.txt", "".join(f"{user} {item} 1\n" for user, item in PAIRS), "selfrec", 5, 8),
        ("a.txt", "".join(f"{user}\t{item}\t3\t97830000{user}\n" for user, item in PAIRS), "ncf-ratings", 5, 8),
        ("a.txt", "".join(f"{user} {item}\n" for user, item in PAIRS), "sasrec", 5, 8),
        ("a.txt", "11 12 13\n11 14 15\n12 13 14\n13 11 15\n", "history-lines", 4, 5),
        ("a.txt", "11 12 13 9\n11 14 15\n12 13 14\n13 11 15\n", "history-lines", 4, 6),
    ],
)
def test_other_forms_of_numbers_are_guessed_and_read(
    tmp_path: Path, name: str, text: str, source: str, users: int, items: int
) -> None:
    (tmp_path / name).write_text(text)
    found = guesses(tmp_path / name)
    assert found[0].source == source
    assert "lightgcn" not in {guess.source for guess in found}
    data = SOURCES.find(source).model_validate({"path": tmp_path / name}).load().interactions
    assert (data.num_users, data.num_items, len(data)) == (
        users,
        items,
        len(text.split()) if source == "history-lines" else 20,
    )
