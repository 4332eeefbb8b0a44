"""The public API: every step of a notebook in one call, on tiny data."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import fedkd
import fedkd.api
from fedkd.data.fold import Split
from fedkd.errors import UserError
from fedkd.models.arrays import model_arrays
from fedkd.models.base import Recommender
from fedkd.runs.config import Config, validate
from fedkd.runs.folder import RunFolder
from simulations.run import simulate

README = Path(__file__).parents[1] / "README.md"
SIZE: dict[str, Any] = {"users": 60, "items": 80, "mean_history": 15}
SHORT = {"steps": 5}
SETTINGS: dict[str, Any] = {
    "data": {"synthetic": SIZE},
    "algorithm": {"references": 20, "panel": 60, "rank": 8},
    "runtime": {"threads": 1, "wait_seconds": 0},
}


@pytest.fixture(scope="module")
def parts() -> Split:
    return fedkd.split(fedkd.load("synthetic", synthetic=SIZE), "leave-last-out", seed=1)


def test_importing_the_package_is_light() -> None:
    code = "import sys, fedkd, fedkd.errors; assert set(fedkd.__all__) < set(dir(fedkd)); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "pandas", "flwr", "pydantic"} & set(done.stdout.split())


def test_the_package_has_the_names_of_the_api_and_no_others() -> None:
    assert all(getattr(fedkd, name) is getattr(fedkd.api, name) for name in fedkd.__all__)
    with pytest.raises(AttributeError, match="no attribute 'distill'"):
        fedkd.distill  # type: ignore[attr-defined]  # noqa: B018


def test_the_example_runs_as_it_stands() -> None:
    found = re.search(r"```python\n(.*?)```", fedkd.api.__doc__ or "", re.DOTALL)
    assert found is not None
    assert len(found[1].splitlines()) <= 15
    assert found[0] in README.read_text(encoding="utf-8")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(found[1], {})
    assert all(word in printed.getvalue() for word in ("ndcg@10", "no ledger", "title"))


def test_every_kind_of_data_and_split_is_one_call(tmp_path: Path) -> None:
    rows = [f"u{user},i{(user + step) % 7},{step}" for user in range(6) for step in range(5)]
    (tmp_path / "ratings.csv").write_text("\n".join(["user,item,rating", *rows]))
    loaded = fedkd.load("table", path=tmp_path / "ratings.csv", min_rating=1, rating_column="rating")
    assert (loaded.interactions.num_users, len(loaded.interactions)) == (6, 24)
    parts = fedkd.split(loaded, test_fraction=0.5, validation_fraction=0.4)
    assert len(parts.test.target) == 12


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("ease", {"l2": 50.0}),
        ("item-knn", {"k": 5}),
        ("popularity", {}),
        ("linear", {"width": 4, "training": SHORT}),
        ("autoencoder", {"width": 4, "training": SHORT}),
        ("fedkd.models.autoencoder:AutoencoderConfig", {"width": 4, "training": SHORT}),
    ],
)
def test_teachers_by_name_are_the_same_for_the_same_seed(parts: Split, model: str, options: dict[str, Any]) -> None:
    first, again = (fedkd.train_teacher(parts.test.train, model, seed=3, **options) for _ in range(2))
    assert first.num_items == SIZE["items"]
    assert_same(first, again)


def test_a_student_comes_to_resemble_its_teacher(parts: Split) -> None:
    train = parts.test.train
    teacher = fedkd.train_teacher(train, "ease", l2=50)
    settings: dict[str, Any] = {"width": 8, "distillation": {"training": {"steps": 100}}}
    student, before = fedkd.distil(teacher, train, **settings), fedkd.distil(teacher, train, width=8, **untrained())
    lists = [set(map(tuple, fedkd.recommend(m, train)[["user", "item"]].values)) for m in (teacher, student, before)]
    assert len(lists[0] & lists[1]) > 2 * len(lists[0] & lists[2])
    assert student.size()[0] == 2 * 8 * SIZE["items"]


def untrained() -> dict[str, Any]:
    return {"distillation": {"training": {"steps": 0}}}


def test_features_can_be_distilled_too(parts: Split) -> None:
    teacher = fedkd.train_teacher(parts.test.train, "autoencoder", width=6, training=SHORT)
    losses = {"weights": {"feature": 1.0}, "training": SHORT}
    students = [fedkd.distil(teacher, parts.test.train, "autoencoder", width=4, distillation=d) for d in (losses, {})]
    assert students[0].num_items == students[1].num_items


def test_quality_is_a_table_of_means_and_intervals(parts: Split) -> None:
    model = fedkd.train_teacher(parts.test.train, "popularity")
    table = fedkd.evaluate(model, parts.test, users=[0, 5, 7], metrics=["recall@10", "ndcg@10"])
    assert table.index.tolist() == ["recall@10", "ndcg@10"]
    assert table.columns.tolist() == ["mean", "low", "high"]
    assert (table["low"] <= table["mean"]).all()
    everyone = fedkd.evaluate(model, parts.test)
    assert len(everyone) == 6
    assert everyone["mean"]["recall@10"] != table["mean"]["recall@10"]


def test_lists_have_titles_and_nothing_of_the_history(parts: Split) -> None:
    model, history = fedkd.train_teacher(parts.test.train), parts.test.history
    table = fedkd.recommend(model, history.take(np.array([4])), k=3)
    catalogue, seen = history.catalogue, history.catalogue.ids[history.histories.take(np.array([4])).values]
    assert catalogue.titles is not None
    titles = dict(zip(catalogue.ids, catalogue.titles, strict=True))
    assert table["title"].tolist() == [titles[item] for item in table["item"]]
    assert not set(table["item"]) & set(seen)


PROTOCOLS: list[dict[str, Any]] = [
    {},
    {"algorithm": "fedmd", "num_server_rounds": 2},
    {"algorithm": {"name": "fedavg"}, "num_server_rounds": 2, "fraction_train": 0.5},
    {"partition": {"clients": "silos", "num_silos": 3}},
]


@pytest.mark.parametrize("settings", PROTOCOLS, ids=["residual", "fedmd", "fedavg", "silos"])
def test_a_federation_in_memory_ends_in_the_models_of_a_simulation_with_messages(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    run = fedkd.federate(**{**SETTINGS, **settings})
    folder, rounds = simulated(tmp_path, run.config), settings.get("num_server_rounds", 1)
    for name, model in (("teacher", run.teacher), ("student", run.student)):
        assert (folder.path / f"{name}.safetensors").exists() == (model is not None)
        if model is not None:
            assert_close(model, folder.read_arrays(f"{name}.safetensors"))
    assert run.rounds.index.tolist() == list(range(1, rounds + 1))
    for line, (_, metrics) in zip(folder.rounds(), run.rounds.iterrows(), strict=True):
        assert {name: line["metrics"][name] for name in metrics.index} == pytest.approx(dict(metrics), rel=1e-5)


def test_integer_sums_are_those_of_a_simulation_with_messages(tmp_path: Path) -> None:
    run = fedkd.federate(**SETTINGS)
    total = simulated(tmp_path, run.config).read_arrays("checkpoint/state.safetensors")["sum"]
    assert np.array_equal(run.state.arrays["sum"], total)


def test_a_file_is_read_and_keys_replace_its_own(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(
        'name = "small"\n[data.synthetic]\nusers = 60\nitems = 80\nmean-history = 15\n[algorithm]\nrank = 4\n'
    )
    run = fedkd.federate(file, algorithm={"references": 20, "panel": 40}, data={"synthetic": {"users": 50}})
    assert (run.config.name, run.data.loaded.interactions.num_users) == ("small", 50)
    assert run.student is not None
    assert run.student.size()[0] == 2 * 4 * 80
    assert_same(run.student, fedkd.federate(run.config).student)


def test_protected_answers_spend_the_budget_and_the_promise_says_that_nothing_remembers_it() -> None:
    protected = {"mode": "central", "epsilon": 4, "delta": 1e-3}
    run = fedkd.federate(**SETTINGS, privacy=protected)
    assert run.epsilon == pytest.approx(4)
    assert run.config.promise in run.promise
    assert "no ledger" in run.promise
    assert fedkd.federate(**SETTINGS).epsilon is None


@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
def test_the_noise_is_that_of_a_simulation_with_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    def reseed() -> None:
        monkeypatch.setattr("secrets.randbits", Random(7).getrandbits)

    reseed()
    run = fedkd.federate(**SETTINGS, num_server_rounds=2, privacy={"mode": mode, "epsilon": 4, "delta": 1e-3})
    reseed()
    folder = simulated(tmp_path, run.config)
    assert_close(run.student, folder.read_arrays("student.safetensors"))
    assert run.epsilon == folder.read_json("summary.json")["privacy"]["epsilon"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"privacy": {"ledger": "all.ledger"}}, r"privacy\.ledger.*python -m simulations\.run"),
        ({"privacy": {"mode": "central", "epsilon": 4, "delta": 1e-3, "panel_share": 0.1}}, r"privacy\.panel-share"),
        ({"privacy": {"mode": "central", "epsilon": 4, "delta": 1e-3, "metrics_share": 0.1}}, r"metrics-share"),
        ({"runtime": {"server_data": "server"}}, r"python -m server"),
        ({"num_server_round": 2}, r"num-server-round: no such key; did you mean num-server-rounds\?"),
        ({"algorithm": "fedmt"}, r"algorithm\.name: there is no algorithm 'fedmt', did you mean fedmd"),
        ({"seed": -1}, "seed: input should be"),
    ],
)
def test_a_federation_that_cannot_be_says_what_mends_it(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fedkd.federate(**{**SETTINGS, **settings})


def test_every_mistake_is_told_with_what_mends_it(parts: Split) -> None:
    train, small = parts.test.train, fedkd.load(synthetic={**SIZE, "items": 40}).interactions
    teacher = fedkd.train_teacher(train)
    mistakes = {
        r"no data source 'syntetic', did you mean synthetic": lambda: fedkd.load("syntetic"),
        r"data source synthetic cannot be used:\n  min_ratin: no such key": lambda: fedkd.load(min_ratin=4),
        r"the split cannot be used:\n  kind: .* got 'ratoi'": lambda: fedkd.split(small, "ratoi"),
        r"no model 'eaze', did you mean ease.*autoencoder": lambda: fedkd.train_teacher(train, "eaze"),
        r"no model 'ease'; allowed are linear": lambda: fedkd.distil(teacher, train, "ease"),
        r"no setting of ease 'l', .*allowed are l2": lambda: fedkd.train_teacher(train, "ease", l=3),
        r"no setting of popularity 'training'; allowed": lambda: fedkd.train_teacher(train, "popularity", training={}),
        r"model linear cannot be used:\n  widht: .*did you mean width": lambda: fedkd.distil(teacher, train, widht=3),
        r"the distillation cannot": lambda: fedkd.distil(teacher, train, distillation={"temperature": 0}),
        r"the training cannot": lambda: fedkd.train_teacher(train, "linear", training={"steps": -1}),
        r"no metric 'ndcg@5', did you mean ndcg@": lambda: fedkd.evaluate(teacher, parts.test, metrics=["ndcg@5"]),
        r"scores 80 items and the catalogue has 40": lambda: fedkd.recommend(teacher, small),
        r"scores 80 items and the catalogue has 40; ": lambda: fedkd.evaluate(teacher, fedkd.split(small).test),
        r"scores 80 items and the catalogue has 40; give": lambda: fedkd.distil(teacher, small),
        r"at least one item, k is 0": lambda: fedkd.recommend(teacher, train, k=0),
    }
    for message, mistake in mistakes.items():
        with pytest.raises(UserError, match=message):
            mistake()


def simulated(tmp_path: Path, config: Config) -> RunFolder:
    folder = tmp_path / "run"
    settings = validate(config.completed({"runtime": {"run-folder": folder}, "evaluation": {"every": 0}}))
    RunFolder.create(folder, settings)
    simulate(settings)
    return RunFolder(folder)


def assert_close(model: Recommender | None, arrays: dict[str, Any]) -> None:
    assert model is not None
    for name, own in model_arrays(model).items():
        assert np.abs(own - arrays[name]).max() <= 1e-5 * np.abs(arrays[name]).max()


def assert_same(first: Recommender | None, second: Recommender | None) -> None:
    assert first is not None
    assert second is not None
    assert all(np.array_equal(a, model_arrays(second)[name]) for name, a in model_arrays(first).items())
