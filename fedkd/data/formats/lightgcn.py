"""The text format of LightGCN's data sets: a line of a user and the user's items."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.number_lines import UserLines
from fedkd.data.formats.published import Published


class LightGCN(Published):
    """Lines ``user item item ...``: a file, or a folder with ``train.txt`` and perhaps ``valid.txt`` and ``test.txt``.

    The rows of ``test.txt`` are the official test part; a pair in both files stays in training. Those of ``valid.txt``
    count as training, since every split makes its own validation part.
    """

    group: ClassVar[str] = "files of other programs"
    summary: ClassVar[str] = "LightGCN: lines 'user item item ...' (train.txt, test.txt)"
    homepage: ClassVar[str] = "https://github.com/gusye1234/LightGCN-PyTorch"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(("train.txt", "valid.txt", "test.txt"), UserLines(), test="test.txt", telling=False),
    )

    source: Literal["lightgcn"] = "lightgcn"
