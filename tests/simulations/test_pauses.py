"""The benchmark of sessions: the shop's times are compared, and data without times are refused."""

from pathlib import Path

import pytest

from fedkd.errors import UserError
from fedkd.runs.config import load
from simulations.benchmark.pauses import compared

SMALL = ["data.synthetic.users=60", "data.synthetic.items=40", "data.synthetic.mean-history=12"]


def test_every_statistic_has_a_line_and_the_rule_has_its_say() -> None:
    lines = compared(load(None, [*SMALL, "split.kind=leave-last-out"]))
    assert [line.split("ndcg@10")[0].strip() for line in lines[:3]] == ["next item", "in sessions", "no order"]
    assert "more +0.0000 (+0.0000 to +0.0000)" in lines[0]
    assert lines[3] == "by the public users, sessions do not pay"


def test_data_without_times_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "plays.txt"
    path.write_text("".join(f"{user} {item}\n" for user in range(1, 9) for item in range(user, user + 5)))
    with pytest.raises(UserError, match="data with times"):
        compared(load(None, ["data.source=sasrec", f'data.path="{path}"', "split.kind=leave-last-out"]))
