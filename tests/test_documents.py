"""The documents name files, modules, commands and keys that there are, and the front page stays short."""

import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command

from fedkd.cli.main import app
from fedkd.runs.reference import reference

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("fedkd", "server", "clients", "simulations")
PAGES = [ROOT / "README.md", *(page for folder in FOLDERS for page in sorted((ROOT / folder).rglob("README.md")))]
ELSEWHERE = {"config.toml", "my_protocol.py", "MODEL_CARD.md", "PRIVACY_CARD.md"}
"""Files that a run, an export or a reader makes."""

PATH = re.compile(r"(?<![\w/.*-])[\w.-]+(?:/[\w.-]+)*\.(?:py|md|toml)\b")
LINK = re.compile(r"\]\(([^)\s]+)\)")
KEY = re.compile(r"--set '?(?!key=)([a-z0-9.-]+)=")
COMMAND = re.compile(r"(?:^ *|`)fedkd ([a-z]+)(?: ([a-z]+))?", re.M)

commands = get_command(app).commands
all_pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_the_front_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 1500


def test_every_room_has_a_page() -> None:
    rooms = {path.parent for path in (ROOT / "fedkd").glob("*/__init__.py")}
    assert {room.name for room in rooms if not (room / "README.md").exists()} == set()


@all_pages
def test_files_that_are_named_exist(page: Path) -> None:
    named = set(PATH.findall(page.read_text())) - ELSEWHERE
    assert {name for name in named if not any((base / name).exists() for base in (page.parent, ROOT))} == set()


@all_pages
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not heading or heading in headings(target), link


@all_pages
def test_modules_that_are_named_can_be_run(page: Path) -> None:
    for name in set(re.findall(r"python -m ([\w.]+)", page.read_text())):
        found = importlib.util.find_spec(name)
        assert found is not None, name
        assert not found.submodule_search_locations or importlib.util.find_spec(f"{name}.__main__"), name


@all_pages
def test_commands_and_keys_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    for command, inner in set(COMMAND.findall(text)):
        assert command in commands, command
        assert not inner or inner in getattr(commands[command], "commands", {inner}), inner
    assert set(KEY.findall(text)) - known_keys() == set()


@cache
def known_keys() -> set[str]:
    """Return all keys of the configuration."""
    return {key.name for section in reference() for key in section.keys}


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
