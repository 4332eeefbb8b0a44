"""The curve of quality against epsilon: its runs, what it says of itself, and what it refuses."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fedkd.errors import UserError
from fedkd.report.curve import Curve, regret
from fedkd.runs.config import dump
from simulations.sweep import budgeted, keyed, main, sweep

SMALL = [
    "data.synthetic.users=80",
    "data.synthetic.items=60",
    "data.synthetic.mean-history=15",
    "runtime.threads=1",
    "runtime.wait-seconds=0",
    "algorithm.rank=8",
]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "conf.toml"
    path.write_text("")
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Curve]:
    """A configuration, the folder of its sweep over one seed, which no test changes, and the curve."""
    place = tmp_path_factory.mktemp("sweep")
    (place / "conf.toml").touch()
    return place / "conf.toml", place / "out", swept(place / "conf.toml", place / "out", seeds=1)


def swept(conf: Path, out: Path, *more: str, mode: str = "central", delta: float = 1e-5, seeds: int = 2) -> Curve:
    budgets = {epsilon: budgeted(conf, [*SMALL, *more], mode, epsilon, delta) for epsilon in (8.0, math.inf)}
    return sweep(budgets, seeds, out)


def invoke(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, list(arguments))
    return f"{result.exit_code} {' '.join(result.output.split())}"


def test_a_sweep_gives_a_curve_and_continues_where_it_was(conf: Path, tmp_path: Path) -> None:
    found = swept(conf, tmp_path / "out")
    assert {(p.epsilon, p.model) for p in found.points} >= {(8.0, "student"), (math.inf, "student"), (8.0, "ease")}
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/summary.json")}
    assert len(written) == 4
    assert swept(conf, tmp_path / "out") == found
    assert written == {path: path.stat().st_mtime_ns for path in written}
    lost = np.subtract(found.rows[8.0]["public-student"].means, found.rows[8.0]["student"].means)
    assert regret(found, 8.0) == pytest.approx(np.where(lost > 0, lost, 0).mean())
    assert found.promise == "mode central, unit one user, delta 1e-05, adjacency add-remove, no amplification"
    assert found.setting["Seeds"] == "0, 1"
    assert found.setting["Clients"] == "72"


@pytest.mark.parametrize(
    ("more", "mode", "delta", "key"),
    [
        ([], "central", 1e-6, "privacy.delta"),
        ([], "local", 1e-5, "privacy.mode"),
        (["algorithm.name=federated-ease"], "central", 1e-5, "algorithm."),
        (["data.synthetic.items=61"], "central", 1e-5, "data.synthetic.items"),
    ],
)
def test_a_folder_of_another_run_is_not_relabelled(
    finished: tuple[Path, Path, Curve], more: list[str], mode: str, delta: float, key: str
) -> None:
    conf, out, _ = finished
    with pytest.raises(UserError, match=rf"its {key}.* choose another folder, or delete that one"):
        swept(conf, out, *more, mode=mode, delta=delta, seeds=1)


def test_how_the_machine_is_used_is_no_other_run(finished: tuple[Path, Path, Curve]) -> None:
    conf, out, found = finished
    assert swept(conf, out, "runtime.cohort-size=7", seeds=1) == found


def test_without_protection_nothing_of_a_budget_is_left(conf: Path) -> None:
    more = [*SMALL, "privacy.metrics-share=0.1", "privacy.sums=clear", "privacy.unit=client"]
    privacy = dump(budgeted(conf, more, "central", math.inf, 1e-5))["privacy"]
    assert privacy["mode"] == "none"
    assert not {"epsilon", "delta", "epsilon-limit"} & privacy.keys()
    assert (privacy["metrics-share"], privacy["sums"], privacy["unit"]) == (0.0, "clear", "client")
    protected = budgeted(conf, more, "central", 4.0, 1e-6).privacy
    assert (protected.epsilon, protected.delta, protected.metrics_share) == (4.0, 1e-6, 0.1)


@pytest.mark.parametrize("given", ["privacy.delta=1e-6", "privacy.mode=local", "privacy.epsilon=3", "seed=7"])
def test_what_the_sweep_sets_is_not_set_beside_it(conf: Path, given: str) -> None:
    with pytest.raises(UserError, match=rf"the sweep sets {given.partition('=')[0]} itself; say it with --"):
        budgeted(conf, [given], "central", 4.0, 1e-5)


def test_a_sweep_asks_for_no_baseline_that_cannot_be_made(conf: Path) -> None:
    none = ["partition.public-fraction=0", "algorithm.name=fedavg"]
    assert budgeted(conf, none, "central", 4.0, 1e-5).evaluation.baselines == ("ease",)
    assert "public-student" in budgeted(conf, [], "central", 4.0, 1e-5).evaluation.baselines


def test_a_row_without_a_number_ends_a_sweep(conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulations.sweep.run", lambda *_: {"failed": {"ease": "the disk is full"}})
    with pytest.raises(UserError, match="ease has no number: the disk is full"):
        swept(conf, tmp_path / "out", seeds=1)


def test_a_wrong_epsilon_ends_with_code_2() -> None:
    assert invoke("--epsilons", "1,x").startswith("2 ")


def test_an_impossible_budget_leaves_no_folder_behind(conf: Path, tmp_path: Path) -> None:
    settings = [word for setting in SMALL for word in ("--set", setting)]
    shown = invoke(str(conf), *settings, "--epsilons", "8", "--delta", "0.5", "--out", str(tmp_path / "out"))
    assert shown.startswith("2 ")
    assert not list((tmp_path / "out").glob("*/config.toml"))


def test_the_command_prints_and_writes_what_every_epsilon_means(conf: Path, tmp_path: Path) -> None:
    settings = [word for setting in SMALL for word in ("--set", setting)]
    out = tmp_path / "out"
    shown = invoke(str(conf), *settings, "--epsilons", "8,inf", "--delta", "1e-6", "--seeds", "1", "--out", str(out))
    assert "mode central, unit one user, delta 1e-06, adjacency add-remove, no amplification" in shown
    assert "no noise" in shown
    assert "± is half a 95 % interval, Student's t over seeds; regret is what serving the student loses" in shown
    assert json.loads((out / "sweep.json").read_text())["privacy"]["Delta"] == "1e-06"
    assert "delta 1e-06" in (out / "sweep.svg").read_text()
    assert "add-remove" in (out / "sweep.html").read_text()


def over(conf: Path, out: Path, text: str, *more: str) -> str:
    settings = [word for setting in [*SMALL, *more] for word in ("--set", setting)]
    return invoke(str(conf), *settings, "--over", text, "--seeds", "2", "--out", str(out))


def test_a_curve_over_a_setting_is_printed_drawn_and_kept(conf: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shown = over(conf, out, "partition.public-choice=random,heavy", 'evaluation.baselines=["undistilled"]')
    assert shown.startswith("0 NDCG@20 against partition.public-choice public-choice student teacher undistilled")
    assert "Seeds: 0, 1" in shown
    told = json.loads((out / "sweep.json").read_text())
    assert [point["value"] for point in told["points"]] == ["random", "heavy"]
    first = told["points"][0]
    means = [
        json.loads((out / f"public-choice-random-seed-{seed}" / "summary.json").read_text())["models"]["student"]
        for seed in (0, 1)
    ]
    assert first["models"]["student"]["mean"] == pytest.approx(np.mean([row["ndcg@20"]["mean"] for row in means]))
    assert first["parameters"] == 2 * 60 * 8
    assert "random" in (out / "sweep.svg").read_text()
    assert "Student without distillation" in (out / "sweep.html").read_text()
    again = {path: path.stat().st_mtime_ns for path in out.glob("*/summary.json")}
    over(conf, out, "partition.public-choice=random,heavy", 'evaluation.baselines=["undistilled"]')
    assert again == {path: path.stat().st_mtime_ns for path in again}


def test_a_curve_has_the_baselines_that_show_whether_distillation_pays(conf: Path) -> None:
    assert keyed(conf, [], "algorithm.rank", "4").evaluation.baselines == ("undistilled", "tuned", "ease")
    none = keyed(conf, ["partition.public-fraction=0"], "algorithm.rank", "4")
    assert none.evaluation.baselines == ("ease",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("algorithm.rank", "--over takes a key and its values"),
        ("algorithm.rank=4,4", "--over takes a key and its values"),
        ("seed=1,2", "no setting of a curve"),
        ("algorithm.rnak=4", "did you mean"),
    ],
)
def test_a_curve_over_nothing_is_refused(conf: Path, tmp_path: Path, text: str, says: str) -> None:
    shown = invoke(str(conf), "--over", text, "--out", str(tmp_path / "out"))
    assert shown.startswith("2 ")
    assert says in shown
