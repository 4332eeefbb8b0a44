from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fedkd.errors import UserError
from fedkd.report import ComparisonRow, compare, promises, render_comparison
from fedkd.runs.config import Config

MakeRun = Callable[..., Path]


def student(mean: float) -> dict[str, Any]:
    return {"ndcg@20": {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}, "parameters": 100, "bytes": 200}


def seeded(make_run: MakeRun, seed: int, mean: float, rounds: int = 32) -> Path:
    config = Config.model_validate({"name": "trial", "seed": seed, "num-server-rounds": rounds})
    models = {"student": student(mean), "popularity": student(0.2)}
    split = {"fingerprint": f"split-{seed}", "kind": "ratio", "target": "test"}
    return make_run(f"{rounds}-{seed}", config=config, seed=seed, models=models, split=split)


def find(rows: list[ComparisonRow], model: str) -> list[ComparisonRow]:
    return [row for row in rows if row.model == model]


def test_seeds_become_one_row_with_students_interval(make_run: MakeRun) -> None:
    means = np.array([0.40, 0.42, 0.43])
    rows = compare([seeded(make_run, seed, mean) for seed, mean in enumerate(means)])
    (row,) = find(rows, "student")
    low, high = stats.t.interval(0.95, 2, means.mean(), means.std(ddof=1) / 3**0.5)
    assert row.metrics["ndcg@20"] == pytest.approx((means.mean(), low, high))
    assert row.seeds == (0, 1, 2)
    assert row.bytes_up == 158_700


def test_one_seed_keeps_its_interval_over_users(make_run: MakeRun) -> None:
    (row,) = find(compare([seeded(make_run, 0, 0.4)]), "student")
    assert row.metrics["ndcg@20"] == pytest.approx((0.4, 0.39, 0.41))


def test_other_settings_are_other_rows_and_central_models_come_once(make_run: MakeRun) -> None:
    rows = compare([seeded(make_run, 0, 0.4), seeded(make_run, 0, 0.3, rounds=8)])
    assert [row.configuration for row in find(rows, "student")] == ["ml100k (32-0)", "ml100k (8-0)"]
    assert [row.configuration for row in find(rows, "popularity")] == [""]


def test_other_data_is_refused_unless_told(make_run: MakeRun) -> None:
    one, other = make_run("one"), make_run("other", data={"fingerprint": "ffff"})
    with pytest.raises(UserError, match=r"data\.fingerprint is 0123456789abcdef in one and ffff"):
        compare([one, other])
    assert compare([one, other], allow_different=True)


def test_another_part_of_the_split_is_refused(make_run: MakeRun) -> None:
    split = {"fingerprint": "fedcba9876543210", "kind": "ratio", "target": "validation"}
    with pytest.raises(UserError, match=r"split\.target is test in one and validation"):
        compare([make_run("one"), make_run("other", split=split)])


def test_equal_seeds_with_other_splits_are_refused(make_run: MakeRun) -> None:
    split = {"fingerprint": "other", "kind": "ratio", "target": "test"}
    with pytest.raises(UserError, match="the same seed and different splits"):
        compare([make_run("one"), make_run("other", split=split)])


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to compare"):
        compare([])


def test_every_configuration_is_named_with_what_it_promises(make_run: MakeRun, tmp_path: Path) -> None:
    budget = {"mode": "central", "epsilon": 2.5, "epsilon-planned": 4.0, "unit": "user", "delta": 1e-5}
    budget |= {"adjacency": "add-remove", "sampling": "no amplification"}
    students = {"epsilon": 8.0, "delta": 1e-6, "unit": "interaction", "adjacency": "replace-one", "sampling": "Poisson"}
    config = Config.model_validate({"name": "ml100k", "num-server-rounds": 2})
    private = make_run("private", config=config, privacy=budget | {"students": students})
    rows = compare([make_run("open"), private])
    assert promises(rows) == {
        "ml100k (open)": "mode none",
        "ml100k (private)": "mode central, epsilon 4, delta 1e-05, one user, add-remove, no amplification, students "
        "under DP-SGD: epsilon 8, delta 1e-06, one interaction, replace-one, Poisson sampling",
    }
    html = render_comparison(rows, tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "mode central, epsilon 4, delta 1e-05, one user, add-remove" in html


def test_a_comparison_is_one_offline_page(make_run: MakeRun, tmp_path: Path) -> None:
    rows = compare([seeded(make_run, seed, 0.4 + seed / 100) for seed in range(2)])
    html = render_comparison(rows, tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "Federated student" in html
    assert '<span class="best">0.405</span>' in html
    assert "http" not in html.replace("http-equiv", "")
