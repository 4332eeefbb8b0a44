"""Baselines of public users are of the run's own kind."""

from pathlib import Path

import numpy as np

from fedkd.models.decayed_linear import DecayedLinear, SparseDecayed
from fedkd.models.ease import EASE
from fedkd.runs.config import Config, load
from fedkd.runs.federation import federation
from simulations.baselines import central_model

CONF = Path(__file__).parents[2] / "simulations" / "conf" / "custom.toml"


def walks(path: Path, *settings: str) -> Config:
    """Users who go round forty items, an item or two at a time."""
    rng = np.random.default_rng(0)
    lines = ["user,item,time"]
    for user in range(130):
        items = (rng.integers(40) + np.cumsum(rng.integers(1, 3, 10))) % 40
        lines += [f"{user},i{item},{1000 + step}" for step, item in enumerate(items)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    given = [f"data.path={path}", "data.time-column=time", "partition.public-fraction=0.5", "algorithm.rank=4"]
    return load(CONF, [*given, *settings])


def test_public_users_alone_learn_what_comes_next_where_the_run_does(tmp_path: Path) -> None:
    ordered = walks(tmp_path / "walks.csv", "split.kind=leave-last-out")
    assert isinstance(central_model("public-teacher", ordered, federation(ordered)), DecayedLinear)
    assert isinstance(central_model("public-student", ordered, federation(ordered)), SparseDecayed)
    assert isinstance(central_model("centralised", ordered, federation(ordered)), SparseDecayed)
    plain = walks(tmp_path / "walks.csv", "split.kind=ratio")
    assert isinstance(central_model("public-teacher", plain, federation(plain)), EASE)
