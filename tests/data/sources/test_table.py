"""A data source of one's own, chosen by where its class stands, and the sources by name."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tomli_w
from pydantic import Field

from fedkd.data.cleaning import Raw
from fedkd.data.sources.base import Source
from fedkd.data.sources.synthetic import Synthetic
from fedkd.data.sources.table import SOURCES
from fedkd.errors import UserError
from fedkd.options import Options
from fedkd.runs.config import Config, dump, flatten, flower_settings, load, unflatten, validate
from fedkd.runs.folder import RunFolder
from fedkd.testing.sources import check_source
from simulations.run import run


class Diary(Source):
    """A foreign source: everyone takes some items in a row."""

    people: int = Field(30, ge=1)
    things: int = 20
    label_of_things: str = "thing no. "

    def read(self) -> Raw:
        pairs = [(person, (person + 3 * step) % self.things) for person in range(self.people) for step in range(8)]
        rows = pd.DataFrame(pairs, columns=["user", "item"])
        titles = pd.Series({item: f"{self.label_of_things}{item}" for item in range(self.things)})
        return Raw(rows.assign(time=range(len(rows))), {"titles": titles})


class Unfinished(Source):
    """A source that reads nothing."""


class Stranger(Options):
    """Of another kind."""


OWN = f"{__name__}:Diary"
SMALL = [
    f"data.source={OWN}",
    "data.people=40",
    "algorithm.references=10",
    "algorithm.panel=20",
    "algorithm.rank=4",
    "evaluation.baselines=[]",
    "runtime.threads=1",
    "runtime.wait-seconds=0",
]


def test_every_source_is_named_and_synthetic_has_no_ratings() -> None:
    assert {"synthetic", "movielens-100k", "movielens-1m", "lightgcn", "table"} < {*SOURCES.names}
    assert all(kind.summary and kind.licence and kind.size and kind.group for kind in SOURCES)
    with pytest.raises(UserError, match="synthetic data has no ratings"):
        Synthetic(min_rating=3).load()


def test_a_source_of_ones_own_keeps_the_contract() -> None:
    check_source(Diary(people=10), 80)  # type: ignore[call-arg]


def test_a_source_of_ones_own_is_run_from_end_to_end(tmp_path: Path) -> None:
    config = load(None, [*SMALL, f"runtime.run-folder={json.dumps(str(tmp_path / 'run'))}"])
    folder = RunFolder.create(tmp_path / "run", config)
    summary = run(config, folder)
    assert summary["data"]["users"] == 40
    assert folder.config() == config
    assert set(summary["models"]) == {"teacher", "student"}


def test_a_source_of_ones_own_survives_a_file_and_flowers_form() -> None:
    config = load(None, [*SMALL[:2], 'data.label-of-things="a b\u2003\\t1"', "data.min-user-interactions=3"])
    assert config.data == Diary(people=40, label_of_things="a b\u2003\t1", min_user_interactions=3)  # type: ignore[call-arg]
    assert config.data.name == OWN
    assert validate(tomllib.loads(tomli_w.dumps(dump(config)))) == config
    assert unflatten(flatten(config)) == config
    assert unflatten({**flatten(Config()), "overrides": "", **flower_settings(config)}) == config


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["data.source=tabel"], r"data\.source: there is no data source 'tabel', did you mean table"),
        (["data.source=no.such:Thing"], r"data\.source: the data source 'no\.such:Thing' cannot be imported"),
        (
            [f"data.source={__name__}:Diry"],
            r"data\.source: .* has no class 'Diry' for a data source; .*Diary",
        ),
        ([f"data.source={__name__}:Stranger"], r"data\.source: .*must be a complete subclass of .*base\.Source"),
        ([f"data.source={__name__}:Unfinished"], r"data\.source: .*read must be defined"),
        ([SMALL[0], "data.peple=3"], r"data\.peple: no such key; did you mean data\.people\?"),
        ([SMALL[0], "data.people=0"], r"data\.people: .*greater than or equal to 1, got 0"),
        ([SMALL[0], "data.user-column=x"], r"data\.user-column: .*belongs to another data source than the chosen one"),
        (["data.user-column=x"], r"data\.user-column: .*belongs to another data source than the chosen one"),
        (["data.source=table", "data.synthetic.users=9"], r"data\.synthetic: .*belongs to another data source"),
        (["sed=1", "data.source=tabel"], r"(?s)(?=.*sed: no such key; did you mean seed)(?=.*data\.source: )"),
        (["sed=1", "data=3"], r"(?s)(?=.*sed: no such key; did you mean seed)(?=.*data: )"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(given: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(None, given)


@pytest.mark.parametrize(
    ("data", "given", "left"),
    [
        ({"synthetic": {"users": 50}, "min-rating": 3}, ["data.source=table"], {"source": "table", "min-rating": 3.0}),
        (
            {"source": "table", "user-column": "who", "path": "/rows"},
            ["data.people=4", f"data.source={OWN}"],
            {"source": OWN, "people": 4, "path": "/rows"},
        ),
        (
            {"source": "lightgcn", "path": "/rows"},
            ["data.user-column=who", "data.source=table"],
            {"source": "table", "user-column": "who", "path": "/rows"},
        ),
        (
            {"path": "/rows"},
            ["data.synthetic.users=9", "data.source=synthetic", "data.source=table", "data.item-column=what"],
            {"source": "table", "item-column": "what", "path": "/rows"},
        ),
        ({"synthetic": {"users": 50}}, ["data.source=synthetic"], {"source": "synthetic", "synthetic": {"users": 50}}),
    ],
)
def test_another_source_drops_what_belongs_to_the_one_in_the_file(
    tmp_path: Path, data: dict[str, Any], given: list[str], left: dict[str, Any]
) -> None:
    (tmp_path / "conf.toml").write_text(tomli_w.dumps({"data": data}))
    assert load(tmp_path / "conf.toml", given) == validate({"data": left})


def test_flowers_form_chooses_another_source_by_declared_keys_and_overrides() -> None:
    flat = {**flatten(Config()), "data.source": "table", "data.path": "/a b.csv", "overrides": "data.user-column=who"}
    assert dump(unflatten(flat))["data"]["user-column"] == "who"
    assert unflatten(flat) == validate({"data": {"source": "table", "path": "/a b.csv", "user-column": "who"}})
    assert unflatten({**flatten(Config()), "overrides": f"data.people=4 data.source={OWN}"}).data == Diary(people=4)  # type: ignore[call-arg]
    with pytest.raises(UserError, match="belongs to another data source"):
        unflatten({**flat, "data.synthetic.users": 9})


def test_text_that_looks_like_a_number_or_a_list_survives_flowers_form() -> None:
    config = validate({"data": {"source": "table", "user-column": "0", "item-column": "true", "separator": "\t"}})
    assert unflatten({**flatten(Config()), **flower_settings(config)}) == config


def test_a_path_for_a_source_that_reads_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.path is set, and synthetic data are made.*data\.source=table"):
        load(None, [f"data.path={tmp_path}"])
    assert load(None, [f"data.path={tmp_path}", "data.source=table"]).data.path == tmp_path
    assert load(None, ["data.path="]).data.path is None


def test_the_keys_of_a_table_survive_a_file_and_flowers_form() -> None:
    given = ["header=false", "user-column=0", "item-column=1", "separator=\\t", "encoding=latin-1", "quoting=none"]
    config = load(None, ["data.source=table", *(f"data.{key}" for key in given), "data.time-format=%d.%m.%Y %H:%M"])
    assert (config.data.header, config.data.user_column) == (False, "0")  # type: ignore[attr-defined]
    assert validate(tomllib.loads(tomli_w.dumps(dump(config)))) == config
    assert unflatten({**flatten(Config()), "overrides": "", **flower_settings(config)}) == config
    silent = load(None, ["data.source=table"])
    assert unflatten({**flatten(Config()), "overrides": "", **flower_settings(silent)}) == silent
