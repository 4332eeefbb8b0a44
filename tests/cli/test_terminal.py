"""How every command line ends: after a mistake, after a fault, after Ctrl-C."""

import ast
import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedkd.cli.terminal import INTERRUPTED, application, going_on, guarded
from fedkd.errors import UserError

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
    done = subprocess.run(
        [sys.executable, "-m", "simulations.run"], env=env, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stderr == "stopped before anything was done; the same command begins again\n"
    assert done.returncode == INTERRUPTED


def test_every_program_ends_so_while_it_loads() -> None:
    for package in ("server", "clients", "simulations"):
        assert "end_in_words()" in (ROOT / package / "__init__.py").read_text(encoding="utf-8")
