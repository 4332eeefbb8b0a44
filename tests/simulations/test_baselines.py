"""Baselines of public users are of the run's own kind."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedkd.errors import UserError
from fedkd.evaluation.options import EvaluationOptions
from fedkd.models.base import Recommender, score
from fedkd.models.decayed_linear import DecayedLinear, SparseDecayed
from fedkd.models.ease import EASE
from fedkd.runs.config import Config, load
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from simulations import baseline_rows
from simulations.baselines import central_model, compressed

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


@pytest.mark.parametrize(("kind", "said"), [("leave-last-out", False), ("ratio", True)])
def test_only_what_was_made_of_a_compressed_gram_matrix_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, said: bool
) -> None:
    config = walks(tmp_path / "walks.csv", f"split.kind={kind}")
    together = federation(config)
    model = central_model("centralised", config, together)
    monkeypatch.setattr("simulations.baselines.is_compressed", lambda users, items: True)
    assert bool(compressed("centralised", model, config, together)) == said


def test_one_student_of_public_users_under_two_names_is_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["public-student", "undistilled", "popularity"]
    config = load(None, ["data.synthetic.users=60", "data.synthetic.items=80", "data.synthetic.mean-history=15"])
    config = config.model_copy(update={"evaluation": EvaluationOptions(baselines=tuple(names))})
    trained: list[str] = []

    def counted(name: str, *given: Any) -> Recommender:
        trained.append(name)
        return central_model(name, *given)

    monkeypatch.setattr(baseline_rows, "central_model", counted)
    found = baseline_rows.baseline_rows(config, federation(config), RunFolder(tmp_path))
    assert trained == ["public-student", "popularity"]
    one, other = (found.models[name] for name in names[:2])
    assert one["ndcg@20"] == other["ndcg@20"]
    assert (one["precision"], other["precision"]) == ("float32", "float16")


@pytest.mark.parametrize("name", ["local-only", "ptf-fedrec"])
def test_who_has_no_student_for_everyone_has_none_without_distillation(name: str) -> None:
    config = load(None, [f"algorithm.name={name}"])
    assert "no student" in config.unmakeable("undistilled")
    with pytest.raises(UserError, match="public users could teach"):
        load(None, [f"algorithm.name={name}", "evaluation.baselines=tuned"])


def test_fedavgs_student_alone_is_trained_and_no_random_start() -> None:
    small = ["data.synthetic.users=60", "data.synthetic.items=80", "data.synthetic.mean-history=15"]
    config = load(None, [*small, "algorithm.name=fedavg", "algorithm.model.width=4", "algorithm.central.epochs=3"])
    setup = federation(config).setup(config)
    alone, begun = config.algorithm.undistilled(setup), config.algorithm.student(config.algorithm.begin(setup))
    assert alone is not None
    assert begun is not None
    assert not np.array_equal(score(alone, setup.public.histories), score(begun, setup.public.histories))
