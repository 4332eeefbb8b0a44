"""The table of the student with and without its teacher, and what is said of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fedkd.report import distillation_table, render
from fedkd.report.distillation import operations_text, verdict
from fedkd.report.run import Run
from fedkd.runs.config import Config

MakeRun = Callable[..., Path]
NAMES = ("teacher", "student", "undistilled", "tuned")


def interval(mean: float, half: float = 0.01) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def row(mean: float, **more: Any) -> dict[str, Any]:
    cost = {"parameters": 100, "bytes": 2000, "flops": 215_296, "training-seconds": 1.5}
    return {"ndcg@20": interval(mean), **cost, "latency-ms": {"p50": 0.25, "p95": 0.5}, **more}


def made(make_run: MakeRun, name: str = "run", seed: int = 0, teacher: bool = True, **gains: dict[str, float]) -> Run:
    models = {"teacher": row(0.4), "student": row(0.38), "undistilled": row(0.3), "tuned": row(0.31 + 0.02 * seed)}
    models["tuned"]["settings"] = {"rank": 8, "regularisation": 50.0}
    if not teacher:
        models.pop("teacher")
    told = {"metric": "ndcg@20", "of-teacher": {"student": interval(0.95, 0.005)}, "gain": gains}
    config = Config.model_validate({"name": "trial", "seed": seed})
    folder = make_run(name, config=config, models=models, distillation=told, seed=seed)
    return Run.read(folder)


def test_the_table_tells_quality_and_cost_of_all_four(make_run: MakeRun) -> None:
    found = distillation_table([made(make_run, undistilled=interval(0.08), tuned=interval(0.07))])
    assert found is not None
    assert found.models == NAMES
    assert found.lines["ndcg@20"][1] == "0.3800 ±0.0100"
    assert found.lines["of the teacher"] == (
        "100.0\N{NO-BREAK SPACE}%",
        "95.0\N{NO-BREAK SPACE}% ±0.5",
        "75.0\N{NO-BREAK SPACE}%",
        "77.5\N{NO-BREAK SPACE}%",
    )
    assert found.lines["FLOPs a list"] == ("215 k",) * 4
    assert found.lines["training, s"] == ("1.50",) * 4
    assert found.lines["p50 / p95, ms"] == ("0.250 / 0.500",) * 4
    assert "recall@20" not in found.lines  # nobody measured it
    assert found.notes == ("Tuned on a part of the public users' histories: rank 8, regularisation 50.",)
    assert found.verdict is not None
    assert found.verdict.pays


@pytest.mark.parametrize(
    ("gain", "says"),
    [
        (
            interval(0.005, 0.01),
            "Distillation does not pay here: the same student tuned for itself is as good. It adds +0.0050",
        ),
        (
            interval(-0.05, 0.01),
            "Distillation does not pay here: the same student tuned for itself is better. It adds −0.0500",
        ),
    ],
)
def test_where_distillation_does_not_pay_this_is_said_first(
    make_run: MakeRun, gain: dict[str, float], says: str
) -> None:
    run = made(make_run, undistilled=interval(0.08), tuned=gain)
    found = verdict([run])
    assert found is not None
    assert not found.pays
    assert found.sentences[0].startswith(says)
    assert found.sentences[1].startswith("Distillation adds +0.0800 NDCG@20 to the same student without a teacher")
    assert says in render(run.path).read_text(encoding="utf-8")


def test_without_a_teacher_it_is_the_federation_that_may_not_pay(make_run: MakeRun) -> None:
    found = distillation_table([made(make_run, teacher=False, undistilled=interval(0.0))])
    assert found is not None
    assert "of the teacher" not in found.lines
    assert found.verdict is not None
    assert found.verdict.sentences[0].startswith("Federated training does not pay here")


def test_seeds_are_paired_and_one_of_them_is_not_enough(make_run: MakeRun) -> None:
    runs = [made(make_run, f"seed-{seed}", seed) for seed in (0, 1)]
    found = verdict(runs)
    assert found is not None
    # 0.38 less 0.30 in both; 0.38 less 0.31 and less 0.33, of which two seeds are not sure
    assert not found.pays
    assert "tuned for itself is as good" in found.sentences[0]
    assert found.sentences[1].startswith("Distillation adds +0.0800")
    assert "paired over seeds" in found.sentences[1]
    table = distillation_table(runs)
    assert table is not None
    assert table.notes[0].endswith("seed 0: rank 8, regularisation 50; seed 1: rank 8, regularisation 50.")


def test_a_run_without_such_rows_says_nothing(make_run: MakeRun) -> None:
    folder = make_run(models={"student": row(0.3)})
    assert distillation_table([Run.read(folder)]) is None
    assert "Does distillation pay" not in render(folder).read_text(encoding="utf-8")
    two = make_run("two", models={"student": row(0.3), "teacher": row(0.4)})
    pd.DataFrame({"user": [0]}).to_parquet(two / "users.parquet")
    found = distillation_table([Run.read(two)])
    assert found is not None
    assert found.verdict is None
    assert "This run does not tell: it measured no student without" in render(two).read_text(encoding="utf-8")


@pytest.mark.parametrize(("count", "text"), [(0, "0"), (999, "999"), (64_000, "64 k"), (2.5e6, "2.5 M"), (3e9, "3 G")])
def test_operations_have_a_unit(count: float, text: str) -> None:
    assert operations_text(count) == text
