from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fedkd.errors import UserError
from fedkd.report import ComparisonRow, compare, render_comparison, settings
from fedkd.report.comparison import base, comparison_chart
from fedkd.report.formatting import difference_text, share_text
from fedkd.report.run import Interval
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
    assert settings(rows) == {
        "ml100k (open)": "protocol residual, 1 round, seed 0, mode none",
        "ml100k (private)": "protocol residual, 1 round, seed 0, mode central, epsilon 4, delta 1e-05, one user, "
        "add-remove, no amplification, students "
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


def test_configurations_are_named_by_their_protocol_where_the_name_is_one(make_run: MakeRun) -> None:
    rows = compare([make_run("one"), make_run("two", config=Config(num_server_rounds=2), algorithm="iterated")])
    assert list(settings(rows)) == ["residual", "iterated"]
    assert settings(rows)["iterated"].startswith("protocol iterated, 1 round, seed 0")


def test_differences_are_paired_over_the_seeds_that_both_have(make_run: MakeRun) -> None:
    first, second = {0: 0.40, 1: 0.30, 2: 0.50}, {0: 0.42, 1: 0.33, 2: 0.52, 3: 0.9}
    runs = [seeded(make_run, seed, mean) for seed, mean in first.items()]
    rows = compare([*runs, *(seeded(make_run, seed, mean, rounds=8) for seed, mean in second.items())])
    one, two = find(rows, "student")
    gained = np.array([0.02, 0.03, 0.02])
    low, high = stats.t.interval(0.95, 2, gained.mean(), gained.std(ddof=1) / 3**0.5)
    assert one.difference == (0, 0, 0)
    assert two.difference == pytest.approx((gained.mean(), low, high))
    assert two.difference is not None
    assert two.metrics["ndcg@20"].high - two.metrics["ndcg@20"].low > 10 * (two.difference.high - two.difference.low)
    assert base(rows) == "Federated student of ml100k (32-0)"


def test_one_common_seed_is_paired_over_the_users_of_both(make_run: MakeRun) -> None:
    rng, runs = np.random.default_rng(0), [seeded(make_run, 0, 0.4), seeded(make_run, 0, 0.5, rounds=8)]
    level = rng.random(300)
    for run, users, gain in zip(runs, (range(300), range(1, 301)), (0.0, 0.1), strict=True):
        noise = rng.normal(0, 0.01, 300)
        column = np.take(level, np.array(users) % 300) + gain + noise
        pd.DataFrame({"user": users, "student.ndcg@20": column}).to_parquet(run / "users.parquet")
    difference = find(compare(runs), "student")[1].difference
    assert difference is not None
    assert difference == pytest.approx((0.1, 0.1, 0.1), abs=0.01)
    assert 0 < difference.high - difference.low < 0.01


@pytest.mark.parametrize("seed", [0, 1])
def test_without_users_or_common_seeds_nothing_is_called_a_difference(
    make_run: MakeRun, tmp_path: Path, seed: int
) -> None:
    rows = compare([seeded(make_run, 0, 0.4), seeded(make_run, seed, 0.3, rounds=8)])
    assert find(rows, "student")[1].difference is None
    assert "Difference:" not in render_comparison(rows, tmp_path / "page.html").read_text()


def test_shares_of_ease_are_those_of_every_seed(make_run: MakeRun) -> None:
    runs = [make_run(str(seed), config=Config(seed=seed), seed=seed) for seed in (0, 1)]
    (student,) = find(compare(runs), "student")
    assert student.of_ease == pytest.approx((0.991, 0.991, 0.991))
    assert find(compare(runs), "ease")[0].of_ease == (1, 1, 1)
    assert find(compare([seeded(make_run, 0, 0.4)]), "student")[0].of_ease is None


def test_signs_and_shares_are_written_for_people() -> None:
    assert difference_text(Interval(-0.0032, -0.0042, -0.0022)) == "\N{MINUS SIGN}0.0032 ±0.0010"
    assert difference_text(Interval(0, 0, 0)) == ""
    assert share_text(Interval(0.982, 0.978, 0.986)) == "98.2\N{NO-BREAK SPACE}% ±0.4"


def test_a_comparison_draws_quality_against_bytes_between_levels(make_run: MakeRun) -> None:
    chart = comparison_chart(
        compare([make_run("one"), make_run("two", config=Config(num_server_rounds=2), algorithm="iterated")])
    )
    assert chart is not None
    labels = [
        f"{model}, {protocol}"
        for model in ("Federated student", "Federated teacher", "FedAvg student")
        for protocol in ("residual", "iterated")
    ]
    assert [series.label for series in chart.series] == labels
    assert len({series.style for series in chart.series[:5]}) == 5
    assert {level.style for level in chart.references} >= {"ease", "popularity", "public-student"}
