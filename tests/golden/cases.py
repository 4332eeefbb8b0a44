"""Small configurations whose results must not change unless somebody means them to, and how to play one.

A result is a flat mapping from a path, such as ``rounds/1/metrics/student.ndcg@20``, to a plain value. It holds what a
run computed and what it cost: metrics, counts, bytes, epsilon, and a sum and a hash of every array of its models.
Sentences, times and memory are not part of it.
"""

import hashlib
import json
import random
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import numpy as np
import torch

from fedkd.evaluation import cost
from fedkd.models.threads import limited_threads
from fedkd.runs.config import Config, load
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder, processor
from simulations.deployment.prepare import deal_out
from simulations.dry_run import forecast_cost
from simulations.forecast import forecast
from simulations.run import run
from tests.simulations import devices

CONF = Path(__file__).parents[2] / "simulations" / "conf"
RESULTS, PROCESSOR = Path(__file__).with_name("results"), "processor.txt"
MOVIELENS = Path(__file__).parents[3] / "shared" / "data" / "ml-100k"

Value = str | int | float | bool | None
Result = dict[str, Value]


@dataclass(frozen=True)
class Case:
    """What is played.

    Attributes
    ----------
    settings : tuple of str
        ``key=value`` of the configuration.
    conf : str
        The file in ``simulations/conf`` that they override; none if empty.
    how : str
        ``run``: a simulation, with baselines; ``devices``: a real server, and a client folder for every user, in one
        process; ``plan`` and ``forecast``: what is said before a run begins.
    data : str
        ``table``: a table is written, and is the data; ``movielens``: the data must lie on this machine.
    one_key : bool
        Whether all keys of the case are the same. Noise on gradients falls on the parameters of a student in the order
        of a set, which another process has another of; from equal keys it is the same in any order.
    """

    settings: tuple[str, ...] = ()
    conf: str = ""
    how: Literal["run", "devices", "plan", "forecast"] = "run"
    data: Literal["", "table", "movielens"] = ""
    one_key: bool = False


SMALL = (
    "data.synthetic.users=60",
    "data.synthetic.items=40",
    "data.synthetic.mean-history=12",
    "evaluation.baselines=[]",
)
CENTRALISED = ("evaluation.baselines=centralised",)
TWICE = "num-server-rounds=2"
RESIDUAL = ("algorithm.references=16", "algorithm.panel=30", "algorithm.rank=6")
CONSENSUS = (
    "algorithm.references=12",
    "algorithm.panel=25",
    "algorithm.model.width=6",
    "algorithm.transfer.epochs=5",
    "algorithm.central.epochs=10",
)
PROTOCOLS: dict[str, tuple[str, ...]] = {
    "residual": RESIDUAL,
    "iterated": (
        "algorithm.references=12",
        "algorithm.panel=25",
        "algorithm.model.width=6",
        "algorithm.pretraining.epochs=10",
        "algorithm.central.epochs=10",
    ),
    "fedmd": CONSENSUS,
    "fedmd-server": (*CONSENSUS, "algorithm.teacher-model.width=12"),
    "ds-fl": (*CONSENSUS, "algorithm.temperature=0.5"),
    "feddf": (*CONSENSUS, "algorithm.digest-epochs=4", "algorithm.local.epochs=5"),
    "fedgkt": (
        "algorithm.references=12",
        "algorithm.panel=25",
        "algorithm.model.width=6",
        "algorithm.server-width=10",
        "algorithm.pretraining.epochs=5",
        "algorithm.teaching.steps=5",
        "algorithm.central.epochs=10",
    ),
    "bidirectional": (
        "algorithm.references=12",
        "algorithm.panel=25",
        "algorithm.model.family=autoencoder",
        "algorithm.model.width=6",
        "algorithm.teacher-model.family=autoencoder",
        "algorithm.teacher-model.width=8",
        "algorithm.pretraining.epochs=10",
        "algorithm.teaching.training.steps=10",
        "algorithm.distillation.training.steps=10",
        "algorithm.central.epochs=10",
    ),
    "ptf-fedrec": ("algorithm.dimensions=4", "algorithm.server-dimensions=8"),
    "federated-ease": ("algorithm.rank=6", "algorithm.regularisation=20"),
    "gnmax": (
        "algorithm.queries=12",
        "algorithm.panel=20",
        "algorithm.model.width=4",
        "algorithm.central.epochs=5",
        "partition.clients=silos",
        "partition.num-silos=12",
    ),
    "fedavg": ("algorithm.model.width=6", "algorithm.central.epochs=10", "algorithm.pretraining.epochs=5"),
    "local-only": ("algorithm.model.width=6", "algorithm.central.epochs=10"),
}
"""Settings of every protocol in the table with which a round is quick."""


def of(protocol: str, *more: str) -> Case:
    """Return a small run of a protocol."""
    return Case((*SMALL, f"algorithm.name={protocol}", *PROTOCOLS[protocol], *more))


def noisy(protocol: str, *more: str) -> Case:
    """Return a small run of a protocol whose clients train their students under DP-SGD."""
    return replace(of(protocol, TWICE, *STUDENTS, *more), one_key=True)


def deployed(*more: str) -> Case:
    """Return a run on devices."""
    return Case(more, how="devices")


def mode(name: str, epsilon: float = 8) -> tuple[str, ...]:
    """Return the settings of a privacy mode."""
    return (f"privacy.mode={name}", f"privacy.epsilon={epsilon:g}", "privacy.delta=1e-4")


SILOS = ("partition.clients=silos", "partition.num-silos=8", "partition.size-skew=0.5")
VOTES = (*mode("central", 60), "privacy.unit=client")
STUDENTS = ("algorithm.local.optimiser=sgd", "privacy.student.epsilon=4", "privacy.student.steps=3")
COLUMNS = (
    "data.user-column=who",
    "data.item-column=what",
    "data.time-column=when",
    "data.rating-column=stars",
    "data.group-column=town",
    "data.year-column=year",
    "data.min-rating=3",
)
ONCE = "algorithm.name=residual"
"""Named before another protocol, it makes the settings that belong to the first be forgotten."""

CASES: dict[str, Case] = {
    "quickstart": Case(conf="quickstart.toml"),
    "custom-table": Case((*COLUMNS, *RESIDUAL, "evaluation.baselines=popularity,ease"), "custom.toml", data="table"),
    "custom-table-temporal": Case(
        (*COLUMNS, *RESIDUAL, "split.kind=temporal", "evaluation.baselines=popularity"), "custom.toml", data="table"
    ),
    "custom-table-groups": Case(
        (*COLUMNS, *RESIDUAL, "partition.clients=groups", "evaluation.baselines=[]"), "custom.toml", data="table"
    ),
    "movielens-100k": Case(('evaluation.baselines=["popularity","ease"]',), "ml100k.toml", data="movielens"),
    **{f"protocol-{name}": of(name, TWICE, *CENTRALISED * (name != "ptf-fedrec")) for name in PROTOCOLS},
    "residual-central": of("residual", *mode("central")),
    "residual-distributed": of("residual", *mode("distributed")),
    "residual-local": of("residual", *mode("local")),
    "residual-replace-one": of("residual", *mode("central"), "privacy.adjacency=replace-one"),
    "residual-panel-share": of("residual", *mode("central", 90), "privacy.panel-share=0.3"),
    "residual-metrics-share": of("residual", *mode("central", 90), "privacy.metrics-share=0.3"),
    "residual-adaptive": of("residual", *mode("local"), "privacy.adaptive=true", "privacy.epsilon-limit=40"),
    "residual-silos": of("residual", *SILOS),
    "residual-silos-central": of("residual", *SILOS, *mode("central"), "privacy.unit=client"),
    "residual-tastes": of("residual", "partition.clients=tastes", "partition.num-silos=6"),
    "residual-leave-last-out": of("residual", "split.kind=leave-last-out"),
    "residual-user-disjoint": of("residual", "split.kind=user-disjoint"),
    "residual-validation": of("residual", "evaluation.target=validation"),
    "residual-histories": of("residual", "algorithm.reference-kind=histories", "partition.public-fraction=0.4"),
    "residual-half": of("residual", "fraction-train=0.5", TWICE),
    "residual-block": of("residual", *mode("central"), "algorithm.block=12"),
    "iterated-central": of("iterated", TWICE, *mode("central")),
    "iterated-local": of("iterated", TWICE, *mode("local", 80)),
    "fedmd-central": of("fedmd", TWICE, *mode("central")),
    "fedmd-distributed": of("fedmd", *mode("distributed")),
    "bidirectional-silos": of(
        "bidirectional",
        TWICE,
        *SILOS,
        "algorithm.own.family=autoencoder",
        "evaluation.baselines=public-teacher,public-student,centralised,centralised-teacher",
    ),
    "bidirectional-central": of("bidirectional", TWICE, *mode("central")),
    "bidirectional-distributed": of("bidirectional", *mode("distributed")),
    "fedavg-central": of("fedavg", TWICE, *mode("central")),
    "fedavg-distributed": of("fedavg", TWICE, *mode("distributed")),
    "fedavg-cnn": of("fedavg", "algorithm.model.family=cnn", "algorithm.server-optimiser=adam"),
    "fedavg-half": of("fedavg", TWICE, "fraction-train=0.5", "evaluation.every=0"),
    "federated-ease-central": of("federated-ease", TWICE, *mode("central")),
    "federated-ease-distributed": of("federated-ease", *mode("distributed")),
    "gnmax-gaussian": of("gnmax", *VOTES, "privacy.metrics-share=0.2"),
    "gnmax-noisy-max": of("gnmax", *VOTES, "privacy.votes=noisy-max"),
    "gnmax-randomised-response": of(
        "gnmax",
        *mode("local", 60),
        "privacy.unit=client",
        "privacy.adjacency=replace-one",
        "privacy.votes=randomised-response",
    ),
    "iterated-noisy-students": noisy("iterated"),
    "fedavg-noisy-students": noisy("fedavg", "privacy.student.unit=user", *mode("local", 500)),
    "devices-residual": deployed(),
    "devices-residual-distributed": deployed(*mode("distributed", 90), "privacy.metrics-share=0.3"),
    "devices-fedavg": deployed(ONCE, "algorithm.name=fedavg", "algorithm.model.width=4", TWICE),
    "plan-residual-central": Case((*SMALL, *RESIDUAL, *mode("central")), how="plan"),
    "plan-fedavg-local": Case((*SMALL, "algorithm.name=fedavg", *mode("local"), TWICE), how="plan"),
    "forecast-residual-central": Case((*SMALL, *RESIDUAL, *mode("central")), how="forecast"),
}


def machine() -> str:
    """Return what decides the last digits of a sum: the processor's name, and which instructions torch uses."""
    return f"{processor()}, {torch.backends.cpu.get_cpu_capability()}"


def result(case: Case, place: Path, name: str) -> Result:
    """Play a case.

    Parameters
    ----------
    case : Case
        What is played.
    place : Path
        An empty folder for its files.
    name : str
        From which noise, masks and keys are drawn; they come from the operating system otherwise.
    """
    once = {"REPETITIONS": 1, "WARM": 0}  # times are no part of a result
    with one_thread(), drawn_from(name, case.one_key), mock.patch.multiple(cost, **once):
        return dict(flat(PLAYED[case.how](case, place)))


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute everything of a block in one thread, so that sums do not depend on how many cores there are.

    Torch would do so in the thread that is told, and in another, such as one in which clients work, use all cores.
    """
    threads, begin = torch.get_num_threads(), ThreadPoolExecutor.__init__

    def begin_alone(self: ThreadPoolExecutor, *args: Any, **given: Any) -> None:
        begin(self, *args, **{"initializer": lambda: torch.set_num_threads(1), **given})

    torch.set_num_threads(1)
    try:
        with limited_threads(1), mock.patch.object(ThreadPoolExecutor, "__init__", begin_alone):
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def drawn_from(name: str, one_key: bool) -> Iterator[None]:
    """Draw all secrets of a block from a seed; keys all the same, if asked for."""
    drawn = random.Random(name)

    def token_bytes(nbytes: int | None = None) -> bytes:
        return (random.Random(name) if one_key else drawn).randbytes(nbytes or secrets.DEFAULT_ENTROPY)

    given: dict[str, Any] = {
        "token_bytes": token_bytes,
        "randbits": drawn.getrandbits,
        "randbelow": drawn.randrange,
    }
    with mock.patch.multiple(secrets, **given):
        yield


def configured(case: Case, place: Path) -> Config:
    """Return the configuration of a case that runs in ``place``."""
    paths = {"runtime.run-folder": place / "run"}
    if case.data:
        paths["data.path"] = MOVIELENS if case.data == "movielens" else written_table(place / "table.csv")
    fixed = ["runtime.threads=1", *(f"{key}={json.dumps(str(path))}" for key, path in paths.items())]
    return load(CONF / case.conf if case.conf else None, [*case.settings, *fixed])


def written_table(path: Path) -> Path:
    """Write ratings of users who like one genre of three; the low ones are there to be dropped."""
    rng = np.random.default_rng(11)
    lines = ["what,who,when,stars,town,year"]
    for user in range(50):
        appeal = 1.0 / (1 + np.arange(36) // 3)
        appeal[np.arange(36) % 3 != user % 3] *= 0.05
        items = rng.choice(36, rng.integers(8, 16), replace=False, p=appeal / appeal.sum())
        times, stars = rng.integers(1_000, 9_000, len(items)), rng.integers(2, 6, len(items))
        lines += [
            f"film {item},user {user},{when},{star},town {user % 5},{1960 + item}"
            for item, when, star in zip(items, times, stars, strict=True)
        ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def played_run(case: Case, place: Path) -> dict[str, Any]:
    """Play a simulation, and return what its folder tells."""
    config = configured(case, place)
    folder = RunFolder.create(place / "run", config)
    run(config, folder)
    slices = picked(folder.summary(), ("slices",)) if case.conf else {}  # very many values; a few cases are enough
    return told(folder) | slices


def played_devices(case: Case, place: Path) -> dict[str, Any]:
    """Play a real server with real clients, and return what the run's folder tells."""
    deal_out(load(None, [*devices.SMALL, devices.MANY]), place / "data")
    devices.deployed(place / "run", place / "data", devices.MANY, *case.settings)
    return told(RunFolder.open(place / "run"))


def played_plan(case: Case, place: Path) -> dict[str, Any]:
    """Return what a dry run says of bytes and noise."""
    config = configured(case, place)
    found = forecast_cost(config, federation(config))
    return {name: getattr(found, name) for name in ("clients", "asked", "up", "down", "noise")}


def played_forecast(case: Case, place: Path) -> dict[str, Any]:
    """Return what is foretold of quality."""
    config = configured(case, place)
    found = forecast(config, federation(config))
    return {f"ndcg@20/{name}": getattr(found, name) for name in ("alone", "planned", "unprotected")}


PLAYED = {"run": played_run, "devices": played_devices, "plan": played_plan, "forecast": played_forecast}

OF_A_ROUND = ("asked", "answers", "metrics", "traffic", "epsilon", "delta")
OF_A_RELEASE = ("round", "release", "epsilon", "delta", "epsilon-so-far", "noise-multiplier")
OF_A_SUMMARY = ("models", "traffic", "clients", "data", "ratios")
OF_SERVING = ("training-seconds", "latency-ms", "flops")
"""Cost of a model where it is trained and serves: times, and arithmetic that follows from its shape."""

OF_PRIVACY = ("epsilon", "delta", "noise-multiplier", "noise-on-the-sum", "releases-per-client", "metrics")


def told(folder: RunFolder) -> dict[str, Any]:
    """Return what a run's folder tells, without sentences, times and memory."""
    rounds = {
        line["round"]: picked(line, OF_A_ROUND) | {"failed": sum(line["failures"].values())}
        for line in folder.lines("rounds.jsonl")
    }
    releases = [picked(line, OF_A_RELEASE) for line in folder.lines("privacy.jsonl") if "release" in line]
    summary = folder.read_json("summary.json")
    summary["models"] = {name: without(row, OF_SERVING) for name, row in summary["models"].items()}
    privacy = summary["privacy"]
    students = {"students": picked(privacy["students"], OF_PRIVACY)} if "students" in privacy else {}
    return {
        "rounds": rounds,
        "releases": dict(enumerate(releases, 1)),
        **picked(summary, OF_A_SUMMARY),
        "split": picked(summary.get("split", {}), ("fingerprint",)),
        "privacy": picked(privacy, OF_PRIVACY) | students,
        "arrays": {
            model: {name: hashed(array) for name, array in sorted(folder.read_arrays(f"{model}.safetensors").items())}
            for model in ("teacher", "student")
            if (folder.path / f"{model}.safetensors").exists()
        },
    }


def picked(mapping: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return some of a mapping, as far as it has them."""
    return {name: mapping[name] for name in names if name in mapping}


def without(mapping: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return a mapping without some of its names."""
    return {name: value for name, value in mapping.items() if name not in names}


def hashed(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return an array's shape, its sum, and a hash of its bytes."""
    return {
        "shape": "x".join(map(str, array.shape)),
        "sum": float(array.sum(dtype=np.float64)),
        "sha256": hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16],
    }


def flat(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    """Yield all values of nested mappings and lists with their paths."""
    for key, value in tree.items():
        if isinstance(value, list):
            value = dict(enumerate(value, 1))
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value
