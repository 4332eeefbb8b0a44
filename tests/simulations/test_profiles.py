"""Clients with students of different shapes, from the configuration to the report."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clients.device import read_device, write_device
from fedkd.errors import UserError
from fedkd.evaluation.evaluator import PerUser
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.linear import LinearConfig
from fedkd.report.page import profiles
from fedkd.report.run import Run
from fedkd.runs.config import Config, flatten, flower_settings, load, unflatten
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from fedkd.training.profiles import ClientOptions, Profile
from server.device_quality import by_profile
from simulations.baselines import federated_baseline
from simulations.deployment.prepare import deal_out
from simulations.dry_run import forecast_cost
from simulations.room import states_bytes
from simulations.simulate import simulate
from tests.simulations.devices import placed, served

SMALL = [
    "data.synthetic.users=12",
    "data.synthetic.items=30",
    "data.synthetic.mean-history=9",
    "partition.public-fraction=0.3",
    "algorithm.name=fedmd",
    "algorithm.references=4",
    "algorithm.transfer.epochs=3",
    "algorithm.model.width=4",
    "clients.profiles.small.share=3",
    "clients.profiles.small.model.family=linear",
    "clients.profiles.small.model.width=2",
    "clients.profiles.large.model.width=7",
    "evaluation.baselines=[]",
    "runtime.threads=1",
    "runtime.wait-seconds=0",
    "num-server-rounds=2",
]


def played(folder: Path, *more: str) -> dict[str, Any]:
    config = load(None, [*SMALL, *more, f"runtime.run-folder={json.dumps(str(folder))}"])
    simulate(config)
    return RunFolder(folder).summary()


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("profiles") / "run"
    return folder, played(folder)


def of_students(found: dict[str, Any]) -> list[float]:
    rows = (found["models"]["student"], *found.get("profiles", {}).values())
    return [row["ndcg@20"]["mean"] for row in rows]


def test_a_run_measures_every_profile(summary: tuple[Path, dict[str, Any]]) -> None:
    folder, found = summary
    sizes = {name: (row["clients"], row["parameters"]) for name, row in found["profiles"].items()}
    models = {"small": LinearConfig(width=2), "large": AutoencoderConfig(width=7)}
    catalogue = federation(load(None, SMALL)).fold.train.catalogue
    clients = [6, 2]
    assert sizes == {
        name: (count, models[name].build(catalogue, 0).size()[0])
        for name, count in zip(("small", "large"), clients, strict=True)
    }
    whole, *parts = of_students(found)
    assert np.average(parts, weights=clients) == pytest.approx(whole)
    assert [*profiles(Run.read(folder))] == ["small", "large"]


@pytest.mark.parametrize("more", [["runtime.cohort-size=3", "runtime.workers=2"]])
def test_cohorts_and_nodes_do_not_matter(summary: tuple[Path, dict[str, Any]], tmp_path: Path, more: list[str]) -> None:
    np.testing.assert_allclose(of_students(played(tmp_path / "run", *more)), of_students(summary[1]), atol=5e-4)


def test_devices_name_their_own_profile(summary: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    config = placed(tmp_path / "run", tmp_path / "data", *SMALL, "num-server-rounds=1", "privacy.sums=clear")
    deal_out(config, tmp_path / "data")
    told = [json.loads(path.read_text())["profile"] for path in sorted(tmp_path.glob("data/client-*/device.json"))]
    assert sorted({*told}) == ["large", "small"]
    other = tmp_path / "data" / "client-2"
    watch = replace(read_device(other), profile="watch")
    write_device(other, watch.client, watch.registered, watch.data, watch.profile)
    with pytest.raises(UserError, match=r"small, large, and this device's is watch.*--profile"):
        watch.profiles(np.array([2]), config)
    assert watch.profiles(np.array([2]), Config()).tolist() == [""]
    served(config, tmp_path / "data")
    found = RunFolder(tmp_path / "run").summary()
    assert found["clients"]["answered"] == len(told) - 1
    assert "profiles" not in found  # no real server knows them


def test_shares_survive_the_way_through_flower() -> None:
    config = load(None, SMALL)
    assert unflatten(flatten(config)).clients == config.clients
    assert unflatten(flower_settings(config)).clients == config.clients
    assert config.clients.profiles["small"] == Profile(share=3, model=LinearConfig(width=2))


@pytest.mark.parametrize("name", ["residual", "iterated", "fedavg", "federated-ease", "gnmax", "ptf-fedrec"])
def test_a_protocol_of_one_shape_refuses_profiles(name: str) -> None:
    with pytest.raises(UserError, match=r"needs one shape for all.*leave clients\.profiles out.*fedmd"):
        load(None, ["clients.profiles.small.model.family=linear", f"algorithm.name={name}"])


@pytest.mark.parametrize("name", ["a.b", "a b", ""])
def test_names_of_profiles_are_plain(name: str) -> None:
    with pytest.raises(UserError, match=r"clients\.profiles"):
        load(None, [f'clients.profiles={{"{name}" = {{share = 1}}}}', "algorithm.name=fedmd"])


def table(place: Path, profiles: list[str]) -> Config:
    """Return a run of a table whose users have these profiles in turns, without public users."""
    rng, path = np.random.default_rng(0), place / "plays.csv"
    rows = [(u, i, profiles[u % len(profiles)]) for u in range(12) for i in rng.permutation(20)[:8]]
    pd.DataFrame(rows, columns=["user", "item", "device"]).to_csv(path, index=False)
    keys = ["data.source=table", f"data.path={json.dumps(str(path))}", "data.profile-column=device"]
    own = [pair for pair in SMALL if not pair.startswith("data.")]
    return load(None, [*own, *keys, "partition.public-fraction=0"])


def test_a_column_of_the_data_says_who_has_which(tmp_path: Path) -> None:
    config = table(tmp_path, ["small", "large", "large"])
    found = federation(config).profiles(np.arange(12), config)
    assert found.tolist() == 4 * ["small", "large", "large"]
    assert federation(config).profiles(np.arange(12), load(None, [])).tolist() == 12 * [""]


def test_a_column_with_other_names_is_refused_without_showing_them(tmp_path: Path) -> None:
    config = table(tmp_path, ["small", "secret-watch"])
    with pytest.raises(UserError, match=r"1 names beside small, large") as error:
        federation(config).profiles(np.arange(12), config)
    assert "secret" not in str(error.value)


def test_a_client_is_one_device(tmp_path: Path) -> None:
    config = table(tmp_path, ["small", "large"])
    silos = config.model_copy(
        update={"partition": config.partition.model_copy(update={"clients": "silos", "num_silos": 3})}
    )
    with pytest.raises(UserError, match=r"several profiles.*set partition\.clients=users"):
        federation(silos).profiles(np.arange(3), silos)


def test_costs_are_those_of_the_profiles() -> None:
    config = load(None, SMALL)
    together, catalogue = federation(config), federation(config).fold.train.catalogue
    small, large = (profile.model.build(catalogue, 0).size()[1] for profile in config.clients.profiles.values())
    assert states_bytes(config, together) == 6 * small + 2 * large
    assert forecast_cost(config, together).lines(config)


def test_baselines_have_the_profiles_where_they_can(tmp_path: Path) -> None:
    config = load(None, SMALL)
    assert federated_baseline("local-only", config, tmp_path).clients == config.clients
    assert federated_baseline("fedavg", config, tmp_path).clients == ClientOptions()


def test_quality_by_profile_needs_to_know_who_holds_whom() -> None:
    quality = PerUser(np.arange(3), np.arange(18.0).reshape(3, 6), np.array([0, 0, 2]))
    found = by_profile(quality, np.array(["a", "b", "b"]), seed=0)
    assert {name: row["ndcg@10"]["mean"] for name, row in found.items()} == {"a": 3.0, "b": 12.0}
    assert by_profile(replace(quality, clients=None), np.array(["a", "b", "b"]), seed=0) == {}
