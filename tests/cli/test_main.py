"""The command line: what it prints, and how it ends when a person errs."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from dp_accounting.gaussian_mechanism import get_epsilon_gaussian
from typer.testing import CliRunner, Result

import clients.__main__
from fedkd.cli.main import app
from fedkd.evaluation.metrics import METRICS
from fedkd.privacy.budget import Budget
from fedkd.privacy.events import Cost
from fedkd.privacy.ledger import Ledger, data_key
from fedkd.runs.config import Config
from fedkd.runs.folder import RunFolder

ROWS = "user,item\nann,x\nann,y\nbob,x\nbob,y\nbob,y\ncay,x\n"


def fedkd(*arguments: object) -> Result:
    """Run the command line; wide, so that no line is broken in the middle of a word."""
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, [str(word) for word in arguments])


def fine(*arguments: object) -> str:
    result = fedkd(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    """Return the message of a mistake: exit code 2, on the error stream, and no traceback."""
    result = fedkd(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def paid_book(path: Path) -> str:
    book, limit = Ledger(path), Budget(10.0, 1e-5)
    for owner, rounds in (("a", 2), ("b", 1)):
        for number in range(rounds):
            book.charge(data_key("shop", owner), f"round {number}", Cost.of_gaussian(2.0), limit, "central")
    book.store(data_key("shop", "a"), "round 0", b"noised")
    return data_key("shop", "a")


def test_a_ledger_tells_who_spent_what(tmp_path: Path) -> None:
    owner = paid_book(tmp_path / "book")
    everybody = json.loads(fine("ledger", tmp_path / "book", "--json"))
    assert [len(one["releases"]) for one in everybody["owners"]] == [2, 1]
    first, second = everybody["owners"][0]["releases"]
    assert (first["made"], second["made"]) == (True, False)
    exact = get_epsilon_gaussian(2.0 / math.sqrt(2), 1e-5)
    assert second["epsilon-so-far"] == pytest.approx(exact, rel=1e-6)
    everyone = fine("ledger", tmp_path / "book")
    for part in (owner[:16], "mechanism 1: central", "2 owners, epsilon 1.9", f"to {exact:.4g}"):
        assert part in everyone
    shown = fine("ledger", tmp_path / "book", "--owner", owner[:6], "--head", everybody["head"])
    assert "round 1" in shown
    assert "mechanism 1: central" in shown


def test_a_ledger_that_cannot_be_believed_is_refused(tmp_path: Path) -> None:
    paid_book(tmp_path / "book")
    assert "no ledger" in refused("ledger", tmp_path / "nothing")
    assert "no owner" in refused("ledger", tmp_path / "book", "--owner", "nobody")
    assert "older copy" in refused("ledger", tmp_path / "book", "--head", f"99:{'a' * 64}")
    assert "names no row" in refused("ledger", tmp_path / "book", "--head", "newest")
    assert "names no row" in refused("ledger", tmp_path / "book", "--head", f"{'9' * 5000}:{'0' * 64}")


@pytest.mark.parametrize("option", ["--rounds", "--clients", "--dimensions"])
def test_a_plan_is_of_a_size_that_can_be_reckoned_with(option: str) -> None:
    assert "is not in the range" in refused("budget", "--epsilon", 4, option, "9" * 400)
    assert "Traceback" not in fedkd("budget", "--epsilon", 4, "--delta", 1e-20, option, 10**12).output


@pytest.mark.parametrize("delta", [0.0, -1.0, 1.0, 2.0, math.nan])
@pytest.mark.parametrize("adaptive", [False, True])
def test_a_ledger_is_told_at_a_delta_that_means_something(tmp_path: Path, delta: float, adaptive: bool) -> None:
    Ledger(tmp_path / "book").charge("a", "r", Cost.of_gaussian(2.0), Budget(10.0, 1e-5, adaptive=adaptive))
    assert f"delta is {delta}" in refused("ledger", tmp_path / "book", "--delta", delta)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--epsilon", "nan"), ("--epsilon", "inf"), *(("--delta", text) for text in ("0", "1", "nan"))],
)
def test_a_client_with_a_budget_that_means_nothing_does_not_start(tmp_path: Path, option: str, value: str) -> None:
    given = {"--epsilon": "4", "--delta": "1e-5", option: value}
    client = typer.Typer()
    client.command()(clients.__main__.main)
    words = [str(tmp_path), "--insecure", *(word for pair in given.items() for word in pair)]
    result = CliRunner().invoke(client, words)
    assert result.exit_code == 2
    assert f"is {float(value)}; it must be above 0" in result.stderr
    assert "Traceback" not in result.stderr


def finished_run(path: Path, seed: int = 0, ndcg: float = 0.4, data: str = "0123", rounds: int = 1) -> Path:
    folder = RunFolder.create(path, Config(name="tiny", seed=seed, num_server_rounds=rounds))
    metrics = {name: {"mean": ndcg, "low": ndcg - 0.01, "high": ndcg + 0.01} for name in METRICS}
    folder.append("rounds.jsonl", {"round": 1, "seconds": 1.0, "answers": 3, "failures": {}, "metrics": {}})
    folder.write_json(
        "summary.json",
        {
            "name": "tiny",
            "seed": seed,
            "models": {"student": {**metrics, "parameters": 1234, "bytes": 4936}},
            "traffic": {"total-up-bytes-per-client": 5678.0, "total-down-bytes-per-client": 91.0},
            "data": {"fingerprint": data},
            "split": {"fingerprint": f"split{seed}", "kind": "ratio", "target": "test"},
            "privacy": {"mode": "none"},
        },
    )
    return path


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text(ROWS)
    return tmp_path / "rows.csv"


@pytest.mark.parametrize(
    "words",
    [(), ("data",), ("data", "list"), ("data", "get"), ("data", "describe"), ("report",), ("compare",), ("doctor",)],
)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    assert "Usage:" in fine(*words, "--help")


def test_help_starts_without_the_heavy_packages() -> None:
    code = "import sys, fedkd.cli.main; print(*({'torch', 'pandas', 'matplotlib', 'scipy', 'flwr'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_list_names_every_source_and_its_terms() -> None:
    shown = fine("data", "list")
    for words in ("synthetic", "movielens-100k", "movielens-1m", "lightgcn", "table", "no redistribution"):
        assert words in shown


def test_a_data_set_that_is_there_already_is_not_downloaded_again(tmp_path: Path) -> None:
    (tmp_path / "ml-100k").mkdir()
    shown = fine("data", "get", "movielens-100k", "--folder", tmp_path)
    assert f"--set data.path={tmp_path / 'ml-100k'}" in shown
    assert "no redistribution" in shown


def test_data_sets_that_cannot_be_downloaded_are_refused() -> None:
    assert "did you mean movielens-100k" in refused("data", "get", "movielens100k")
    assert "needs no download" in refused("data", "get", "synthetic")


def test_describe_counts_and_says_what_cleaning_dropped(rows: Path) -> None:
    shown = fine("data", "describe", "--source", "table", "--path", rows)
    assert [line.split() for line in shown.splitlines()[:3]] == [["users", "2"], ["items", "2"], ["interactions", "4"]]
    assert "dropped: the same user and item again" in shown
    assert "dropped: user with fewer than 2 interactions" in shown


def test_describe_reads_a_configuration_and_overrides(tmp_path: Path, rows: Path) -> None:
    conf = tmp_path / "conf.toml"
    conf.write_text('[data]\nsource = "table"\npath = "rows.csv"\n')
    shown = fine("data", "describe", conf, "--set", "data.min-user-interactions=1", "--plot", tmp_path / "a.svg")
    assert shown.split()[:2] == ["users", "3"]
    assert (tmp_path / "a.svg").stat().st_size > 1000


def test_a_picture_that_cannot_be_drawn_is_refused_before_data_is_read(tmp_path: Path, rows: Path) -> None:
    wrong = refused("data", "describe", "--source", "table", "--path", rows, "--plot", tmp_path / "a.jpg")
    assert "does not end in .svg or .png" in wrong
    assert not (tmp_path / "a.jpg").exists()


def test_describe_makes_up_data_without_any_option() -> None:
    small = ("--set", "data.synthetic.users=20", "--set", "data.synthetic.mean-history=9")
    shown = fine("data", "describe", *small, "--session-gap-minutes", "60")
    assert shown.split()[:2] == ["users", "20"]
    assert "60 minutes without any interaction end one" in " ".join(shown.split())
    assert "cleaning dropped nothing" in shown


def test_mistakes_of_describe_are_explained(tmp_path: Path, rows: Path) -> None:
    assert "data.source" in refused("data", "describe", "--source", "tabel")
    assert "does not exist" in refused("data", "describe", "--source", "table", "--path", tmp_path / "no.csv")
    assert "did you mean data.min-rating?" in refused("data", "describe", "--set", "data.min-ratng=4")
    assert "cannot read the configuration" in refused("data", "describe", tmp_path / "no.toml")
    wrong = refused("data", "describe", "--source=table", f"--path={rows}", "--set", "data.user-column=usr")
    assert "did you mean 'user'?" in wrong


def test_a_report_is_written_and_its_place_told(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run")
    assert f"report: {run / 'report.html'}" in fine("report", run)
    assert (run / "report.html").read_text().startswith("<!")


def test_reports_of_no_run_and_of_an_unfinished_one_are_refused(tmp_path: Path) -> None:
    assert "is not a run's folder" in refused("report", tmp_path)
    RunFolder.create(tmp_path / "begun", Config())
    assert "--resume" in refused("report", tmp_path / "begun")


def test_runs_are_compared_in_one_table_and_one_page(tmp_path: Path) -> None:
    runs = [finished_run(tmp_path / str(seed), seed, 0.4 + 0.1 * seed) for seed in (0, 1)]
    shown = fine("compare", *runs, "--out", tmp_path / "all.html")
    assert "tiny: protocol residual, 1 round, seeds 0, 1, mode none" in shown
    (row,) = [line.split() for line in shown.splitlines() if line.startswith("Federated student")]
    assert "0.4500" in row
    assert "1,234" in row
    assert "5,678" in row
    assert (tmp_path / "all.html").is_file()
    assert "the same student without a teacher" not in shown
    for run in runs:
        summary = json.loads((run / "summary.json").read_text())
        summary["models"] |= {"teacher": summary["models"]["student"], "tuned": summary["models"]["student"]}
        (run / "summary.json").write_text(json.dumps(summary))
    shown = fine("compare", *runs)
    assert "tiny: teacher, student, and the same student without a teacher" in shown
    assert "Distillation does not pay here: the same student tuned for itself is as good." in shown


@pytest.mark.parametrize("columns", [60, 80])
def test_names_are_whole_at_any_width_and_what_has_no_room_is_told(tmp_path: Path, columns: int) -> None:
    runs = [finished_run(tmp_path / name, rounds=rounds) for name, rounds in (("first-of-two-runs", 1), ("other", 2))]
    narrow = CliRunner(env={"COLUMNS": str(columns), "TERM": "dumb"}).invoke(app, ["compare", *map(str, runs)])
    lines = narrow.stdout.splitlines()
    assert lines[0].startswith("tiny (first-of-two-runs): protocol residual, 1 round,")
    assert max(map(len, lines)) <= columns
    assert sum(line.startswith("Federated student  tiny (first-of-two-runs)  0.4") for line in lines) == 1
    assert "recall@20, hr@10, bytes up, bytes down; a wider" in " ".join(narrow.stdout.split())
    assert "no room" not in fine("compare", *runs)


def test_runs_that_do_not_belong_together_are_refused_unless_told(tmp_path: Path) -> None:
    runs = [finished_run(tmp_path / data, data=data) for data in ("0123", "4567")]
    assert "--allow-different" in refused("compare", *runs)
    assert "student" in fine("compare", *runs, "--allow-different")
    assert "Missing argument" in refused("compare")
    assert "does not exist" in refused("compare", runs[0], "--out", tmp_path / "none" / "all.html")


def test_runs_that_were_stopped_before_their_end_or_deployed_say_how_to_compare_them(tmp_path: Path) -> None:
    whole, stopped = finished_run(tmp_path / "whole"), finished_run(tmp_path / "stopped")
    summary = RunFolder(stopped).summary()
    del summary["data"]
    RunFolder(stopped).write_json("summary.json", summary)
    said = refused("compare", whole, stopped)
    assert f"{stopped} has not finished" in said
    assert f"--resume {stopped}" in said
    config = (stopped / "config.toml").read_text()
    (stopped / "config.toml").write_text(config.replace("[runtime]\n", '[runtime]\nserver-data = "data"\n'))
    assert "--allow-different" in refused("compare", whole, stopped)
    assert "student" in fine("compare", whole, stopped, "--allow-different")


def test_the_doctor_gives_every_line_a_mark_and_counts_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    lines = fine("doctor").splitlines()
    marks = [line.split()[0] for line in lines[:-1]]
    assert set(marks) <= {"ok", "warn", "hint:"}
    assert marks.count("warn") == marks.count("hint:") >= 1
    assert any("unset OMP_NUM_THREADS" in line for line in lines)
    assert lines[-1].endswith("to put right")


def test_help_tells_what_required_arguments_are_and_a_client_watches_over_its_node_without_torch() -> None:
    code = "import atexit, sys; from clients.__main__ import main, start; sys.argv[1:] = ['--help']; "
    code += "atexit.register(lambda: print('torch' in sys.modules)); start(main)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "The client's data folder." in done.stdout
    assert done.stdout.split()[-1] == "False"


@pytest.mark.parametrize("name", [".png", ".SVG", "..png", " .svg"])
def test_a_picture_needs_a_name_before_its_ending(tmp_path: Path, name: str) -> None:
    wrong = refused("budget", "--epsilon", 4, "--plot", tmp_path / name)
    assert "has no name before its ending; for example" in wrong
    assert not list(tmp_path.iterdir())


def test_a_budget_is_drawn(tmp_path: Path) -> None:
    fine("budget", "--epsilon", 4, "--rounds", 3, "--plot", tmp_path / "noise.svg")
    drawn = (tmp_path / "noise.svg").read_text()
    for words in ("1 release(s) a client", "3 release(s) a client", "this plan", "mode central, 943 clients"):
        assert words in drawn
