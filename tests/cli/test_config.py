"""``fedkd config``: the list of keys, the page that is kept current, and the check of a configuration."""

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fedkd.cli.config import page
from fedkd.cli.main import app
from fedkd.runs.config import dump, load
from fedkd.runs.reference import reference

PAGE = Path(__file__).parents[2] / "simulations" / "conf" / "README.md"


def invoke(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, ["config", *map(str, arguments)])


def test_the_page_of_all_keys_is_current() -> None:
    renew = "fedkd config --markdown simulations/conf/README.md"
    assert PAGE.read_text(encoding="utf-8") == page(reference()), f"renew it with: {renew}"


def test_the_page_is_written_where_it_is_wanted(tmp_path: Path) -> None:
    assert invoke("--markdown", tmp_path / "keys.md").exit_code == 0
    assert (tmp_path / "keys.md").read_text(encoding="utf-8") == page(reference())


def test_the_list_has_every_key_with_its_default() -> None:
    shown = invoke("--list")
    assert shown.exit_code == 0
    lines = [line.split() for line in shown.stdout.splitlines()]
    firsts = {words[0] for words in lines if words}
    assert {key.name for section in reference() for key in section.keys} <= firsts
    (row,) = [words for words in lines if words[:1] == ["fraction-train"]]
    assert row[1:8] == ["number,", "above", "0,", "at", "most", "1", "1.0"]


def test_sections_of_equal_keys_are_written_once() -> None:
    text = page(reference())
    assert text.count("| `data.min-user-interactions` |") < text.count("## data.source = ") / 2
    assert "## data.source = yelp\n" in text
    assert "Its keys are those of `data.source = movielens-100k`.\n" in text


def test_a_good_configuration_is_printed_whole(tmp_path: Path) -> None:
    conf = tmp_path / "conf.toml"
    conf.write_text('[algorithm]\nname = "fedavg"\n')
    shown = invoke("--check", conf, "--set", "seed=5")
    assert shown.exit_code == 0
    assert "is a good configuration" in shown.stdout.splitlines()[0]
    assert tomllib.loads(shown.stdout) == dump(load(conf, ["seed=5"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give one of --list"),
        (("--list", "--markdown", "x.md"), "give one of --list"),
        (("--list", "--set", "seed=1"), "--set belongs to --check"),
        (("--check", "none.toml"), "cannot read the configuration"),
        (("--check", "{conf}", "--set", "sed=1"), "did you mean seed"),
        (("--markdown", "no/such/folder.md"), "cannot use"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "conf.toml").touch()
    wrong = invoke(*(word.format(conf=tmp_path / "conf.toml") for word in arguments))
    assert wrong.exit_code == 2
    assert message in wrong.stderr
