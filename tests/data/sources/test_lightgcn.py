"""LightGCN's lines of whole numbers, with and without a test part."""

from pathlib import Path

import pytest

from fedkd.data.sources.lightgcn import LightGCN
from fedkd.errors import UserError
from tests.data.sources.tiny import histories


def test_lightgcn_lines_give_histories_and_the_official_test(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 5 3\n1 3 4 9\n\n")
    (tmp_path / "test.txt").write_text("0 9\n1 5\n2\n")
    loaded = LightGCN(path=tmp_path).load()
    assert histories(loaded.interactions) == {"0": ["5", "3", "9"], "1": ["3", "4", "9", "5"]}
    assert loaded.official_test is not None
    assert loaded.official_test.tolist() == [False, False, True, False, False, False, True]


def test_lightgcn_may_be_one_file_without_a_test_part(tmp_path: Path) -> None:
    (tmp_path / "all.txt").write_text("7 1 2\n")
    loaded = LightGCN(path=tmp_path / "all.txt").load()
    assert histories(loaded.interactions) == {"7": ["1", "2"]}
    assert loaded.official_test is None


@pytest.mark.parametrize("text", ["", "0 a b\n", "0 1.5 2\n"])
def test_lightgcn_text_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(UserError, match=r"empty|whole numbers"):
        LightGCN(path=tmp_path).load()


def test_lightgcn_without_train_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.txt"):
        LightGCN(path=tmp_path).load()
