"""``fedkd export``, ``recommend`` and ``serve``: what they print and how they refuse."""

import io
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fedkd.cli import deploy
from fedkd.cli.main import app
from tests.deployment.runs import catalogue, finished_run

IDS = catalogue().ids.tolist()


def fedkd(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, [str(word) for word in arguments])


def fine(*arguments: object) -> str:
    result = fedkd(*arguments)
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def refused(*arguments: object) -> str:
    result = fedkd(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.stderr
    return " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def exported(run: Path) -> tuple[Path, str]:
    out = run.parent / "out"
    return out, fine(
        "export", run, "--format", "onnx", "--compress", "pruned:kept=0.7", "--quantise", "int8", "--out", out
    )


def test_an_export_says_sizes_differences_and_what_was_lost(exported: tuple[Path, str]) -> None:
    out, said = exported
    for words in ("1,280 parameters: 5.12 kB as trained", "36 histories of the run's users", "lists of ten agree in"):
        assert words in said
    assert "NDCG@20 lost:" in said
    assert said.endswith(f"exported: {out}")
    assert (out / "model.onnx").is_file()


def test_mistakes_of_an_export_are_refused(run: Path, tmp_path: Path) -> None:
    assert "did you mean int8" in refused("export", run, "--out", tmp_path / "x", "--quantise", "int9")
    assert "is no setting" in refused("export", run, "--out", tmp_path / "x", "--compress", "pruned:share=0.5")
    assert "allowed are onnx, torch, safetensors" in refused(
        "export", run, "--out", tmp_path / "x", "--format", "pickle"
    )
    assert "is not a run's folder" in refused("export", tmp_path, "--out", tmp_path / "x")


def test_an_exported_folder_and_a_run_recommend_with_titles(run: Path, exported: tuple[Path, str]) -> None:
    for folder in (run, exported[0]):
        shown = fine("recommend", folder, "--history", f'heat,"Matrix, The (1999)",{IDS[4]}', "--k", 40)
        assert shown.startswith("item title rank score")
        assert "Aliens (1986)" in shown
        assert "Heat (1995)" not in shown
        assert "Amélie" not in shown


def test_histories_come_from_a_file_too(run: Path, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(f'Heat,Alien\n\n"Matrix, The", {IDS[9]}\n')
    shown = fine("recommend", run, "--file", tmp_path / "people.csv", "--k", 2)
    assert [shown.count(f"history {number}") for number in (1, 2, 3, 4)] == [1, 1, 1, 0]
    for content, said in ((b"", "is empty"), (b"\xff", "not a text in UTF-8"), (b'a "b\n"c', "is not CSV")):
        (tmp_path / "bad.csv").write_bytes(content)
        assert said in refused("recommend", run, "--file", tmp_path / "bad.csv")
    assert "no.csv" in refused("recommend", run, "--file", tmp_path / "no.csv")


def test_a_title_that_is_not_clear_is_offered_others(run: Path) -> None:
    said = refused("recommend", run, "--history", "Heat,Alie")
    assert f"did you mean Alien (1979) (id {IDS[1]}); Aliens (1986) (id {IDS[2]})" in said
    assert "no title is like it" in refused("recommend", run, "--history", "qqqq")
    assert "give a history" in refused("recommend", run)
    assert "give a history" in refused("recommend", run, "--history", "Heat", "--file", "x")


def test_a_person_at_a_terminal_is_asked_which_one_they_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    from fedkd.deployment.titles import Titles

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("7\n2\n"))
    monkeypatch.setattr(sys, "stdout", shown := Terminal())
    titles = Titles(catalogue())
    assert titles.shown[deploy.item("alie", titles)] == "Aliens (1986)"
    assert "which one is alie?" in shown.getvalue()
    assert "2 Aliens (1986)" in shown.getvalue()


def test_a_service_that_cannot_begin_says_why(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no exported folder" in refused("serve", tmp_path)
    assert "cannot listen on 203.0.113.9" in refused("serve", run, "--host", "203.0.113.9")
    assert "cannot listen on nowhere.invalid" in refused("serve", run, "--host", "nowhere.invalid")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert "pip install 'fedkd[serve]'" in refused("serve", run)
