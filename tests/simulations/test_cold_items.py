"""The command that ranks items which nobody has had, among themselves."""

from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fedkd.evaluation.evaluator import model_scores
from fedkd.models.popularity import Popularity
from fedkd.runs.config import load
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from simulations.cold_items import CATEGORIES, RANDOM, ColdRanking, by_category, main, of_run
from simulations.sweep import finished
from tests.deployment.runs import finished_run

SMALL = (
    "split.kind=cold-items",
    "data.synthetic.users=300",
    "data.synthetic.items=200",
    "data.synthetic.mean-history=20",
    "algorithm.rank=8",
    "algorithm.cold-weight=2",
    'evaluation.baselines=["ease"]',
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folders = [tmp_path_factory.mktemp("cold") / f"seed-{seed}" for seed in range(2)]
    for seed, path in enumerate(folders):
        finished(load(None, SMALL), path, seed)
    return folders


def invoke(*arguments: object) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "120"})
    return result.exit_code, result.output


def test_a_run_whose_items_nobody_has_had_has_no_share_of_ease(runs: list[Path]) -> None:
    summary = RunFolder(runs[0]).summary()
    assert summary["models"]["ease"]["ndcg@20"]["mean"] == 0
    assert summary["models"]["student"]["ndcg@20"]["mean"] > 0
    assert not any(name.endswith("/ease") for name in summary["ratios"])


def test_content_of_cold_items_beats_random_order(runs: list[Path]) -> None:
    for path in runs:
        found = of_run(path, 3)
        cold = ColdRanking(federation(RunFolder(path).config()), 3)
        assert found[RANDOM] == 3 / len(cold.cold)
        assert found["student"] > 1.2 * found[RANDOM]
        assert found["teacher"] > 1.2 * found[RANDOM]


def test_recall_is_the_share_of_each_users_own_cold_items(runs: list[Path]) -> None:
    together = federation(RunFolder(runs[0]).config())
    cold = ColdRanking(together, 4)
    scores = np.random.default_rng(0).random(200).astype(np.float32)
    best = set(cold.cold[np.argsort(-scores[cold.cold])][:4].tolist())
    shares = [
        len(best & set(wanted)) / len(wanted)
        for user in together.private
        if (wanted := together.fold.target.histories[user].tolist())
    ]
    assert cold.recall(model_scores(Popularity(scores))) == pytest.approx(np.mean(shares))
    assert not set(cold.cold.tolist()) & set(together.fold.train.histories.values.tolist())


def test_categories_are_read_in_three_ways(runs: list[Path]) -> None:
    train = federation(RunFolder(runs[0]).config()).fold.train
    member, counts = train.catalogue.membership, train.popularity()
    item = int(np.argmax(member.sum(axis=1)))
    own = np.flatnonzero(member[item])
    totals = [counts[member[:, category]].sum() for category in own]
    sizes = [(counts[member[:, category]] > 0).sum() for category in own]
    each = [total / size for total, size in zip(totals, sizes, strict=True)]
    found = [scores[item] for scores in by_category(train).values()]
    assert found == pytest.approx([sum(totals), sum(each), np.mean(each)])


def test_every_way_has_a_row_with_intervals_over_runs(runs: list[Path]) -> None:
    code, text = invoke(*runs, "--depth", 3)
    assert code == 0, text
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    assert {RANDOM, CATEGORIES, "content of the history", "undistilled", "teacher", "student"} <= rows.keys()
    assert rows["student"].count("±") == 3
    assert rows[RANDOM].split()[-1]


def test_without_public_users_there_is_no_undistilled_student(tmp_path: Path) -> None:
    finished(load(None, [*SMALL, "partition.public-fraction=0", "evaluation.baselines=[]"]), tmp_path / "run", 0)
    assert of_run(tmp_path / "run", 3).keys() >= {RANDOM, "teacher", "student"}
    assert "undistilled" not in of_run(tmp_path / "run", 3)


def test_what_cannot_be_ranked_is_refused(runs: list[Path], tmp_path: Path) -> None:
    code, text = invoke(runs[0], "--depth", 50)
    assert code == 2
    assert "cold items, so a list of 50 holds all; lower --depth" in " ".join(text.split())
    code, text = invoke(finished_run(tmp_path / "run"))
    assert code == 2
    assert "split.kind=ratio; make a run with --set split.kind=cold-items" in " ".join(text.split())
