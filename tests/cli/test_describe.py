"""The picture of a data set."""

from pathlib import Path

import numpy as np
import pytest

from fedkd.cli.describe import draw
from fedkd.data.catalogue import Catalogue
from fedkd.data.describe import Description, describe
from fedkd.data.interactions import Interactions
from fedkd.data.sources.base import Loaded
from fedkd.errors import UserError
from fedkd.ragged import Ragged


@pytest.fixture
def tiny() -> Description:
    rows = Ragged.from_rows([[0, 1], [0, 2, 3], [0]], np.int32)
    catalogue = Catalogue(np.array(list("abcde")), None, (), np.zeros((5, 0), bool))
    return describe(Loaded(Interactions(np.array(["u", "v", "w"]), rows, catalogue), {}, "made up", "none"))


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_the_plot_is_a_picture_and_the_same_every_time(
    tiny: Description, tmp_path: Path, name: str, begins: bytes
) -> None:
    draw(tiny, tmp_path / name)
    first = (tmp_path / name).read_bytes()
    draw(tiny, tmp_path / name)
    assert first.startswith(begins)
    assert (tmp_path / name).read_bytes() == first


@pytest.mark.parametrize("name", ["a.xyz", "none/a.png"])
def test_a_plot_that_cannot_be_written_is_refused(tiny: Description, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"cannot be written.*\.png or \.svg"):
        draw(tiny, tmp_path / name)
