"""What leaves this folder, into git and into Flower's bundle, whatever else lies in it."""

import io
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.cli.build import build_fab_from_disk

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("fedkd", "server", "clients")
LITTER = [
    "data/client-0/flower/apps/fedkd.fedkd.0.1.0.0a1b2c3d/fedkd/a/b/c/d/e/f/g/README.md",
    "data/client-0/flower/apps/fedkd.fedkd.0.1.0.0a1b2c3d/server/app.py",
    "data/client-0/student/run.json",
    "data/server/public.parquet",
    "keys/node-0",
    "keys/server.key",
    "runs/deployed/flower/apps/x/README.md",
    "runs/deployed/summary.json",
    "elsewhere/and/deeper/than/a/bundle/of/flower/may/ever/be/README.md",
    "server/flower/apps/x.py",
    "my_protocol.py",
    "plays.csv",
    "README/README.md",
    ".venv/lib/x.py",
]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A copy of the packages, after somebody has worked in it."""
    folder = tmp_path / "checkout"
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info", "flower")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=skipped)
    for name in (".gitignore", "LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    yield folder
    shutil.rmtree(folder)


def litter(folder: Path) -> None:
    for name in LITTER:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1\n")


def bundled(folder: Path) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(build_fab_from_disk(folder))).namelist()


def test_a_bundle_holds_the_packages_alone(checkout: Path) -> None:
    clean = bundled(checkout)
    assert {name.partition("/")[0] for name in clean} == {*PACKAGES, "README.md", "pyproject.toml", ".info"}
    assert len([name for name in clean if name.endswith(".py")]) > 100
    litter(checkout)
    assert bundled(checkout) == clean


def test_git_sees_nothing_of_what_people_keep_here(checkout: Path) -> None:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=checkout, check=True, capture_output=True, text=True).stdout

    git("init", "--quiet")
    git("add", ".")
    kept = git("ls-files")
    assert len(kept.splitlines()) > 200
    litter(checkout)
    assert [line for line in git("status", "--short").splitlines() if not line.startswith("A")] == []
    git("add", ".")
    assert git("ls-files") == kept


def test_the_repository_ignores_none_of_its_own_files() -> None:
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"],
        cwd=ROOT, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == ""
