"""Teacher and student beside the models that they stand in for."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fedkd.cli.comparison import print_rivals
from fedkd.report import rivals
from fedkd.report.run import Interval, Run
from fedkd.runs.config import Config

MakeRun = Callable[..., Path]
CENTRAL = (0.40, 0.41, 0.45)
FOUND = (0.39, 0.39, 0.44)


def made(make_run: MakeRun, seed: int, models: Sequence[str]) -> Run:
    level = {"student": FOUND[seed], "centralised": CENTRAL[seed], "fedavg": 0.2, "teacher": 0.4}
    rows = {name: {"ndcg@20": {"mean": level[name], "low": 0.1, "high": 0.9}} for name in models}
    config = Config.model_validate({"name": "trial", "seed": seed})
    return Run.read(make_run(f"run-{seed}", config=config, seed=seed, models=rows, ratios={}))


def test_differences_and_shares_are_paired_over_seeds(make_run: MakeRun) -> None:
    runs = [made(make_run, seed, ("student", "centralised", "fedavg", "teacher")) for seed in range(3)]
    found = {(row.model, row.rival): row for row in rivals(runs)}
    assert [*found] == [("student", "fedavg"), ("student", "centralised")]  # nothing stands beside the teacher
    gained, shares = np.subtract(FOUND, CENTRAL), np.divide(FOUND, CENTRAL)
    for values, told in (
        (gained, found["student", "centralised"].difference),
        (shares, found["student", "centralised"].share),
    ):
        assert told is not None
        low, high = stats.t.interval(0.95, 2, values.mean(), values.std(ddof=1) / 3**0.5)
        assert told == pytest.approx((values.mean(), low, high))


def test_one_seed_is_paired_over_users_where_both_were_measured_there(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made(make_run, 0, ("student", "centralised", "fedavg"))
    values = np.random.default_rng(0).random(200)
    table = {"user": range(200), "student.ndcg@20": values, "centralised.ndcg@20": values + 0.1}
    pd.DataFrame(table).to_parquet(run.path / "users.parquet")
    alone, central = rivals([run])
    assert (alone.difference, alone.share) == (None, Interval(*3 * (pytest.approx(1.95),)))
    assert central.difference == pytest.approx((-0.1, -0.1, -0.1))
    print_rivals([alone, central])
    shown = capsys.readouterr().out
    assert "FedAvg student" in shown
    assert "195.0" in shown
    assert "\N{MINUS SIGN}0.1000" in shown
