"""A server's own folder: what it knows in a simulation and what it reads from disk are the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedkd.data.catalogue import FILE, Catalogue
from fedkd.errors import UserError
from fedkd.protocols.base import Setup
from fedkd.runs.config import Config, load
from fedkd.runs.federation import federation
from server.data import read_setup, write_server_data

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["data.synthetic.users=40", "data.synthetic.items=60", "data.synthetic.mean-history=15"]


def written(folder: Path) -> tuple[Config, Setup]:
    config = load(ROOT / "simulations" / "conf" / "quickstart.toml", SMALL)
    setup = federation(config).setup(config)
    write_server_data(folder, setup)
    return config, setup


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    config, setup = written(tmp_path)
    found = read_setup(tmp_path, config)
    np.testing.assert_array_equal(found.public.histories.values, setup.public.histories.values)
    np.testing.assert_array_equal(found.public.histories.lengths, setup.public.histories.lengths)
    assert found.public.catalogue.categories == setup.public.catalogue.categories != ()
    np.testing.assert_array_equal(found.public.catalogue.membership, setup.public.catalogue.membership)
    np.testing.assert_array_equal(found.public.catalogue.ids, setup.public.catalogue.ids)
    assert found.public.catalogue.fingerprint == setup.public.catalogue.fingerprint
    assert (found.num_clients, found.num_private_users) == (setup.num_clients, setup.num_private_users)
    assert setup.public.times is not None
    np.testing.assert_array_equal(found.public.times, setup.public.times)
    write_server_data(tmp_path, replace(setup, public=replace(setup.public, times=None)))
    assert read_setup(tmp_path, config).public.times is None


@pytest.mark.parametrize(
    ("kind", "ordered"), [("ratio", False), ("user-disjoint", False), ("leave-last-out", True), ("temporal", True)]
)
def test_a_simulation_and_a_server_know_whether_order_is_measured(tmp_path: Path, kind: str, ordered: bool) -> None:
    written(tmp_path)
    config = load(None, [*SMALL, f"split.kind={kind}"])
    assert federation(config).setup(config).ordered is ordered
    assert read_setup(tmp_path, config).ordered is ordered


def with_catalogue(folder: Path, **changes: Any) -> Config:
    """Write a folder of which something of the catalogue is another."""
    config, setup = written(folder)
    other = replace(setup.public.catalogue, **changes)
    write_server_data(folder, replace(setup, public=replace(setup.public, catalogue=other)))
    return config


def test_release_years_are_kept_and_their_absence_too(tmp_path: Path) -> None:
    config, _ = written(tmp_path)
    assert read_setup(tmp_path, config).public.catalogue.years is None
    years = np.where(np.arange(60) % 7 == 0, 0, 1940 + np.arange(60))
    with_catalogue(tmp_path, years=years)
    np.testing.assert_array_equal(read_setup(tmp_path, config).public.catalogue.years, years)


def test_bad_years_are_unknown(tmp_path: Path) -> None:
    config = with_catalogue(tmp_path, years=np.array([-7, 99999, 1995] * 20))
    np.testing.assert_array_equal(read_setup(tmp_path, config).public.catalogue.years, [0, 0, 1995] * 20)


def test_a_catalogue_without_categories_stays_without(tmp_path: Path) -> None:
    config = with_catalogue(tmp_path, categories=(), membership=np.zeros((0, 0), bool))
    found = read_setup(tmp_path, config)
    assert found.public.catalogue.categories == ()
    assert found.public.num_items == 60


@pytest.mark.parametrize("changes", [{"years": np.full(59, 1995)}, {"membership": np.ones((59, 8), bool)}])
def test_years_and_categories_of_another_catalogue_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = with_catalogue(tmp_path, **changes)
    with pytest.raises(UserError, match="is not a server's data folder"):
        read_setup(tmp_path, config)


def test_a_catalogue_of_another_number_of_items_is_refused(tmp_path: Path) -> None:
    config, _ = written(tmp_path)
    Catalogue.numbered(59).write(tmp_path / FILE)
    with pytest.raises(UserError, match=r"59 items, and server\.json says 60"):
        read_setup(tmp_path, config)
    (tmp_path / FILE).unlink()
    with pytest.raises(UserError, match="is not a server's data folder"):
        read_setup(tmp_path, config)
