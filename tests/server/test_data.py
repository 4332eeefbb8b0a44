"""A server's own folder: what it knows in a simulation and what it reads from disk are the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedkd.errors import UserError
from fedkd.protocols.base import Setup
from fedkd.runs.config import Config, load
from fedkd.runs.federation import federation
from server.data import read_setup, write_depot

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["data.synthetic.users=40", "data.synthetic.items=60", "data.synthetic.mean-history=15"]


def written(folder: Path) -> tuple[Config, Setup]:
    config = load(ROOT / "simulations" / "conf" / "quickstart.toml", SMALL)
    setup = federation(config).setup(config)
    write_depot(folder, setup)
    return config, setup


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    config, setup = written(tmp_path)
    found = read_setup(tmp_path, config)
    np.testing.assert_array_equal(found.public.histories.values, setup.public.histories.values)
    np.testing.assert_array_equal(found.public.histories.lengths, setup.public.histories.lengths)
    assert found.public.catalogue.categories == setup.public.catalogue.categories != ()
    np.testing.assert_array_equal(found.public.catalogue.membership, setup.public.catalogue.membership)
    assert (found.num_clients, found.num_private_users) == (setup.num_clients, setup.num_private_users)


def test_release_years_are_kept_and_their_absence_too(tmp_path: Path) -> None:
    config, setup = written(tmp_path)
    assert read_setup(tmp_path, config).public.catalogue.years is None
    years = np.where(np.arange(60) % 7 == 0, 0, 1940 + np.arange(60))
    dated = replace(setup.public, catalogue=replace(setup.public.catalogue, years=years))
    write_depot(tmp_path, replace(setup, public=dated))
    np.testing.assert_array_equal(read_setup(tmp_path, config).public.catalogue.years, years)


def test_bad_years_are_unknown_and_those_of_another_catalogue_refused(tmp_path: Path) -> None:
    config, _ = written(tmp_path)
    pd.DataFrame({"year": [np.nan, 99999.0, 1995.0] * 20}).to_parquet(tmp_path / "years.parquet")
    np.testing.assert_array_equal(read_setup(tmp_path, config).public.catalogue.years, [0, 0, 1995] * 20)
    for wrong in ({"year": [1995] * 59}, {"release": [1995] * 60}):
        pd.DataFrame(wrong).to_parquet(tmp_path / "years.parquet")
        with pytest.raises(UserError, match="is not a server's data folder"):
            read_setup(tmp_path, config)


def test_a_catalogue_without_categories_stays_without(tmp_path: Path) -> None:
    config, _ = written(tmp_path)
    pd.DataFrame(np.zeros((0, 0), bool)).to_parquet(tmp_path / "categories.parquet")
    found = read_setup(tmp_path, config)
    assert found.public.catalogue.categories == ()
    assert found.public.num_items == 60


def test_categories_of_another_catalogue_are_refused(tmp_path: Path) -> None:
    config, _ = written(tmp_path)
    pd.DataFrame({"Drama": [True] * 59}).to_parquet(tmp_path / "categories.parquet")
    with pytest.raises(UserError, match="59 rows for 60 items"):
        read_setup(tmp_path, config)
