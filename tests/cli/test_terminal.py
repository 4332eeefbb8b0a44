"""How every command line prints and ends: after a mistake, after a fault, after Ctrl-C."""

import ast
import errno
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click.testing
import pytest
from typer.testing import CliRunner

from fedkd.cli import main
from fedkd.cli.terminal import INTERRUPTED, application, command_line, going_on, guarded, plain_table, say, show
from fedkd.errors import UserError
from tests.simulations.deployment import heed_interrupts

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = [path for name in ("fedkd", "server", "clients", "simulations") for path in (ROOT / name).rglob("*.py")]
SECRET = "the history of one user"


def ended(error: BaseException) -> tuple[int, str]:
    def command() -> None:
        history = SECRET
        raise error if history else AssertionError

    return result_of(command)


def result_of(command: Callable[[], None]) -> tuple[int, str]:
    app = application()
    app.command()(guarded(command))
    result = CliRunner().invoke(app)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (UserError("lower the rank"), 2, "error: lower the rank"),
        (OSError(errno.ENOSPC, "No space left on device", "run/x"), 2, "cannot use run/x (No space left on device)"),
        (MemoryError(), 2, "the memory is full"),
        (KeyboardInterrupt(), INTERRUPTED, "stopped; the same command begins again"),
        (KeyError(SECRET), 1, "a fault of the program, KeyError"),
        (OSError(SECRET), 1, "a fault of the program, OSError"),
    ],
)
def test_no_end_shows_a_variable_or_the_message_of_an_unforeseen_error(
    error: BaseException, code: int, says: str
) -> None:
    found, text = ended(error)
    assert found == code
    assert says in text
    assert SECRET not in text
    assert len(text.splitlines()) < 10


def test_a_fault_is_shown_where_it_arose() -> None:
    assert f"{'/'.join(Path(__file__).parts[-3:])}:" in ended(ValueError(SECRET))[1]


def test_development_mode_shows_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedkd.cli.terminal.DEVELOPMENT", True)
    with pytest.raises(ValueError, match=SECRET):
        guarded(lambda: exec("raise ValueError(SECRET)", {"SECRET": SECRET}))()


def test_the_innermost_place_says_how_to_go_on() -> None:
    def command() -> None:
        with going_on(lambda: "outer"), going_on(lambda: "inner"):
            raise KeyboardInterrupt

    assert result_of(command) == (INTERRUPTED, "stopped; inner\n")


def test_every_command_line_comes_from_one_place_and_every_command_ends_in_words() -> None:
    for path in PROGRAMS:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.name != "terminal.py":
            used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            assert not used & {"typer.Typer", "typer.run"}, path
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and "typer.Option" in ast.unparse(node.args):
                assert "guarded" in [ast.unparse(mark) for mark in node.decorator_list], (path, node.name)


def test_ctrl_c_while_modules_are_loaded_is_one_line(tmp_path: Path) -> None:
    """The program stops in its first import of torch, which is ours here."""
    (tmp_path / "torch.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-m", "simulations.run"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=tmp_path, preexec_fn=heed_interrupts)
    assert done.stderr == "stopped before anything was done; the same command begins again\n"
    assert done.returncode == INTERRUPTED


def test_every_program_ends_so_while_it_loads() -> None:
    for package in ("server", "clients", "simulations"):
        assert "end_in_words()" in (ROOT / package / "__init__.py").read_text(encoding="utf-8")


VERSIONS = ("simulations.run", "simulations.sweep", "simulations.benchmark", "server", "clients", "fedkd.cli.main")


def test_nothing_else_prints_through_a_console_of_its_own() -> None:
    """Rich takes ``[words]`` for styles and ``:words:`` for pictures; only the terminal's console leaves them alone."""
    for path in PROGRAMS:
        if path.name != "terminal.py":
            assert not re.search(r"\bConsole\(|rich\.print|rich_markup", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("colour", [False, True])
def test_brackets_colons_and_styles_are_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, colour: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    if colour:
        monkeypatch.setenv("FORCE_COLOR", "1")
    words = "its [data] part, [bold]x[/bold] [/] :id: {y} 10 [1, 2]"
    say(words, "yellow")
    table = plain_table("[data]", numbers=["[n]"])
    table.add_row(":id: [red]", "[4]")
    show(table)
    shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    for part in (words, "[data]", "[n]", ":id: [red]", "[4]"):
        assert part in shown
    assert ended(UserError("write [data] :id:"))[1].endswith(" write [data] :id:\n")


def test_help_shows_brackets_and_the_version_is_told() -> None:
    shown = click.testing.CliRunner().invoke(command_line(main.app), ["data", "describe", "--help"])
    assert "its [data] part counts" in shown.output
    for name in VERSIONS:
        module = importlib.import_module(f"{name}.__main__" if "." not in name or name.endswith("benchmark") else name)
        told = click.testing.CliRunner().invoke(
            command_line(getattr(module, "app", None) or module.main), ["--version"]
        )
        assert (told.exit_code, told.output) == (0, f"fedkd {version('fedkd')}\n")


@pytest.mark.parametrize("width", [20, 40, 60, 80])
def test_numbers_are_never_cut_and_what_has_no_room_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    numbers = {"first": "0.4759 ±0.0156", "second": "12,345,678", "third": "0.1 ±0.2", "fourth": "[9]"}
    table = plain_table("model and more words", numbers=[*numbers])
    table.add_row("public-teacher of a long name", *numbers.values())
    show(table)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= max(width, 30)  # one column of numbers stays whatever the width
    for name, number in numbers.items():
        assert (number in shown) != bool(re.search(rf"no room for[^;]*{name}", shown))
    assert numbers["first"] in shown


def test_sentences_break_at_words_and_paths_stay_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    path = "/a/path/" + "of-some-length/" * 4
    say(f"several words and then {path}\n\nthe end")
    say(f"report: {path} x", whole=True)
    assert capsys.readouterr().out == f"several words and then\n{path}\n\nthe end\nreport: {path} x\n"
