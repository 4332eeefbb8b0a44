"""Whole runs under protection, in every mode and protocol, through the real server and clients."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from fedkd.errors import UserError
from fedkd.messages.missing import Missing
from fedkd.messages.types import Estimates
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.ledger import Ledger, data_key
from fedkd.protocols.residual import Residual
from fedkd.runs.config import load
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from server.run_writer import RunWriter
from simulations.audit_results import record_lines
from simulations.run import main as run_main
from simulations.run import simulate
from tests.timeless import timeless

QUICKSTART = Path(__file__).resolve().parents[2] / "simulations" / "conf" / "quickstart.toml"
SMALL = [
    "data.synthetic.users=80",
    "data.synthetic.items=60",
    "data.synthetic.mean-history=15",
    "runtime.threads=1",
    "runtime.wait-seconds=0",
    "evaluation.baselines=[]",
]
BUDGET = ["privacy.epsilon=8", "privacy.delta=1e-4"]


def simulated(folder: Path, *more: str) -> RunFolder:
    config = load(None, [*SMALL, *more, f"runtime.run-folder={json.dumps(str(folder))}"])
    created = RunFolder.create(folder, config)
    simulate(config)
    return created


@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
@pytest.mark.parametrize("protocol", ["residual", "federated-ease", "iterated", "fedmd", "fedavg"])
def test_every_mode_protects_every_protocol_that_sums(tmp_path: Path, mode: str, protocol: str) -> None:
    once = protocol in ("residual", "federated-ease")
    more = ["algorithm.rank=8"] if once else ["num-server-rounds=2"]
    folder = simulated(tmp_path / "run", f"algorithm.name={protocol}", *more, f"privacy.mode={mode}", *BUDGET)
    summary = folder.read_json("summary.json")
    assert summary["clients"]["failed-answers"] == 0
    assert 0 < summary["models"]["student"]["ndcg@20"]["mean"] <= 1
    privacy = summary["privacy"]
    assert (privacy["mode"], privacy["epsilon"], privacy["delta"]) == (mode, 8.0, 1e-4)
    assert privacy["releases-per-client"] == (1 if once else 2)
    assert summary["traffic"]["evaluation-up-bytes-per-client"] == 0


def test_epsilon_grows_with_the_rounds_up_to_the_total(tmp_path: Path) -> None:
    folder = simulated(
        tmp_path / "run", "algorithm.name=fedavg", "num-server-rounds=3", "privacy.mode=central", *BUDGET
    )
    charged = folder.lines("privacy.jsonl")[1:]
    assert [line["round"] for line in charged] == [1, 2, 3]
    assert charged[-1]["epsilon-so-far"] == 8.0
    spent = [json.loads(line)["epsilon"] for line in (folder.path / "rounds.jsonl").read_text().splitlines()]
    assert 0 < spent[0] < spent[1] < spent[2] == 8.0


def test_budgets_belong_to_data_and_not_to_runs(tmp_path: Path) -> None:
    shared = f"privacy.ledger={json.dumps(str(tmp_path / 'ledger'))}"
    more = ["algorithm.rank=8", "privacy.mode=central", *BUDGET, shared]
    first, second = (simulated(tmp_path / name, *more, "seed=1") for name in ("first", "second"))
    third = simulated(tmp_path / "third", *more, "seed=1", "privacy.epsilon-limit=20")
    assert [len(folder.lines("privacy.jsonl")) for folder in (first, second, third)] == [2, 1, 2]
    record = json.loads((second.path / "rounds.jsonl").read_text())
    assert (record["asked"], record["failures"]) == (
        0,
        {Missing.EXHAUSTED.text: record["failures"][Missing.EXHAUSTED.text]},
    )
    assert second.read_json("summary.json")["models"]["student"]["ndcg@20"]["mean"] > 0
    assert [folder.read_json("summary.json")["privacy"]["epsilon"] for folder in (first, second)] == [8.0, 0.0]
    assert record["epsilon"] == 0.0
    assert len(record_lines(first.config(), first)) == 1
    assert not record_lines(second.config(), second), "nothing was released, so there is no noise to measure"
    book = Ledger(tmp_path / "ledger")
    spent = epsilon(book.spent(data_key("synthetic", "-1")), 1e-4)
    assert 8 < spent < 16


def test_metrics_that_a_budget_still_allowed_are_told_as_spent(tmp_path: Path) -> None:
    """The second run finds no room for answers, and some for its release of metrics."""
    shared = f"privacy.ledger={json.dumps(str(tmp_path / 'ledger'))}"
    more = ["algorithm.rank=8", "privacy.mode=central", *BUDGET, shared, "privacy.epsilon-limit=9"]
    simulated(tmp_path / "first", *more)
    second = simulated(tmp_path / "second", *more, "privacy.metrics-share=0.05")
    record = json.loads((second.path / "rounds.jsonl").read_text())
    assert record["asked"] == 0
    assert [line["release"] for line in second.lines("privacy.jsonl")[1:]] == ["metrics"]
    assert 0 < record["epsilon"] == second.read_json("summary.json")["privacy"]["epsilon"] < 8


def test_runs_of_different_noise_share_an_adaptive_budget_and_no_other(tmp_path: Path) -> None:
    """Gaussian noise in the first run, Skellam in the second, about the same clients."""
    common = ["algorithm.rank=8", *BUDGET, "privacy.epsilon-limit=40"]
    made = {}
    for adaptive in ("true", "false"):
        shared = f"privacy.ledger={json.dumps(str(tmp_path / adaptive / 'ledger'))}"
        more = [*common, shared, f"privacy.adaptive={adaptive}"]
        runs = [
            simulated(tmp_path / adaptive / mode, *more, f"privacy.mode={mode}") for mode in ("local", "distributed")
        ]
        records = [json.loads((folder.path / "rounds.jsonl").read_text()) for folder in runs]
        made[adaptive] = [record["answers"] for record in records]
        assert [record["epsilon"] for record in records] == [8.0, 8.0 if adaptive == "true" else 0.0]
    assert made["true"][0] == made["true"][1] == made["false"][0] > made["false"][1] == 0


class Killed(Exception):
    """In place of a power cut."""


@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
def test_a_run_killed_before_its_checkpoint_releases_the_same_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    pooled: list[Estimates] = []
    pool = Residual.pool

    def remembered(self: Residual, state: Any, estimates: Estimates) -> Any:
        pooled.append(estimates)
        return pool(self, state, estimates)

    def killed(*arguments: Any) -> None:
        raise Killed

    monkeypatch.setattr(Residual, "pool", remembered)
    with monkeypatch.context() as context:
        context.setattr(RunWriter, "round", killed)
        with pytest.raises(Killed):
            simulated(tmp_path / "run", "algorithm.rank=8", f"privacy.mode={mode}", *BUDGET)
    config = RunFolder.open(tmp_path / "run").config()
    book = Ledger(tmp_path / "run" / "privacy.ledger")
    spent = [entry.cost for entry in book.history(book.owners()[0])]
    simulate(config)
    first, second = pooled
    assert len(spent) == 1
    assert [entry.cost for entry in book.history(book.owners()[0])] == spent
    payers = {"central": 1, "distributed": 1 + clients_of(tmp_path / "run"), "local": clients_of(tmp_path / "run")}
    assert len(book.owners()) == payers[mode]
    for name, estimate in first.values.items():
        np.testing.assert_array_equal(second.values[name].value, estimate.value)


def clients_of(path: Path) -> int:
    """Return how many clients a run's federation has."""
    return federation(RunFolder.open(path).config()).partition.num_clients


@pytest.mark.parametrize("mode", ["central", "local"])
def test_a_moved_run_goes_on_where_it_lies_and_pays_nothing_twice(tmp_path: Path, mode: str) -> None:
    old, new = tmp_path / "run", tmp_path / "moved"
    simulated(old, "algorithm.rank=8", f"privacy.mode={mode}", *BUDGET)
    old.rename(new)
    (new / "summary.json").unlink()
    shutil.rmtree(new / "checkpoint")
    before = Ledger(new / "privacy.ledger").head
    assert run_command("--resume", new).exit_code == 0
    assert Ledger(new / "privacy.ledger").head == before
    assert (new / "summary.json").exists()
    assert not old.exists()


def test_a_run_without_its_name_is_not_continued(tmp_path: Path) -> None:
    simulated(tmp_path, "algorithm.rank=8", "privacy.mode=central", *BUDGET)
    for name in ("summary.json", "privacy.jsonl"):
        (tmp_path / name).unlink()
    result = run_command("--resume", tmp_path)
    assert result.exit_code == 2
    assert "begin a new run with another --out" in result.output


def run_command(*words: object) -> Result:
    app = typer.Typer()
    app.command()(run_main)
    return CliRunner(env={"COLUMNS": "300"}).invoke(app, [str(word) for word in words])


def test_clients_whose_budget_is_gone_say_so_and_the_run_goes_on(tmp_path: Path) -> None:
    shared = f"privacy.ledger={json.dumps(str(tmp_path / 'ledger'))}"
    more = ["algorithm.rank=8", "privacy.mode=local", *BUDGET, shared]
    first, again, other = (simulated(tmp_path / f"run {n}", *more, f"seed={s}") for n, s in enumerate([1, 1, 2]))
    rows = first.read_json("summary.json")["models"]
    assert all(timeless(row) == timeless(again.read_json("summary.json")["models"][name]) for name, row in rows.items())
    failures = json.loads((other.path / "rounds.jsonl").read_text())["failures"]
    assert set(failures) == {Missing.EXHAUSTED.text}
    # Another seed deals out other numbers: those who were public before are the only ones with a budget left.
    people = [
        set(federation(folder.config()).fold.train.users[federation(folder.config()).private])
        for folder in (first, other)
    ]
    assert failures[Missing.EXHAUSTED.text] == len(people[0] & people[1]) < len(people[1])
    assert other.read_json("summary.json")["models"]["student"]["ndcg@20"]["mean"] > 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["algorithm.name=ptf-fedrec", "privacy.mode=central", *BUDGET], "item ids"),
        (["privacy.mode=central", "privacy.epsilon=1"], "privacy.delta"),
        (["privacy.epsilon=1", "privacy.delta=1e-5"], "privacy.mode=central"),
        (["privacy.mode=central", *BUDGET, "privacy.epsilon-limit=2"], "epsilon-limit"),
        (["privacy.mode=local", "partition.clients=silos", *BUDGET], "privacy.unit=client"),
        (["privacy.adaptive=true"], "adaptive says how a budget is counted"),
    ],
)
def test_what_cannot_be_protected_is_refused_when_the_configuration_is_read(settings: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        load(None, settings)


def test_an_impossible_delta_leaves_no_folder_behind(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(run_main)
    settings = [*SMALL, "privacy.mode=central", "privacy.epsilon=1", "privacy.delta=0.5"]
    pairs = [part for setting in settings for part in ("--set", setting)]
    result = CliRunner().invoke(app, [str(QUICKSTART), *pairs, "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert not (tmp_path / "run").exists()
