"""The writer of a run's folder: a checkpoint and a log line every round, models and summary at the end."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from flwr.common.logger import log
from numpy.typing import NDArray

from fedkd.errors import UserError
from fedkd.evaluation.evaluator import intervals
from fedkd.lists.adjustment import FILE as LISTS
from fedkd.lists.adjustment import Adjustment, check
from fedkd.models.arrays import export_arrays, stored_arrays
from fedkd.models.base import Recommender
from fedkd.privacy.mechanisms.base import ANSWERS, Mechanism
from fedkd.protocols.base import Setup, State
from fedkd.runs.config import Config
from fedkd.runs.failures import by_reason, clients
from fedkd.runs.folder import Arrays, RunFolder
from fedkd.runs.machine import peak_memory
from server.device_quality import by_profile
from server.people import read_people, with_people
from server.progress import COUNTS, RELEASES, Progress, Record
from server.strategy import Distillation

INFO = 20
CHECKPOINT = "checkpoint/state.safetensors"
TEACHER, STUDENT = "teacher", "student"
MODEL = {name: f"{name}.safetensors" for name in (TEACHER, STUDENT)}
"""Files of a finished run's models. A state holds a teacher under names that begin with ``teacher.``."""

APART = "run/teacher-apart"
"""Mark of a checkpoint whose teacher lies in a file of its own."""


@dataclass(frozen=True)
class RunWriter:
    """The writer of a run's folder.

    Attributes
    ----------
    folder : RunFolder
        The folder it writes to.
    config : Config
        The run's configuration.
    profiles : ndarray of str, shape [registered clients], optional
        Every client's device profile, where they have some and a simulation knows them.
    """

    folder: RunFolder
    config: Config
    profiles: NDArray[np.str_] | None = None

    def progress(self, setup: Setup) -> Progress:
        """Return the progress in the run's checkpoint, or that before the first round.

        ``setup`` knows the registered clients; people of a service's log are added to it.
        """
        check(self.config.lists.read, setup.public)
        if not (self.folder.path / CHECKPOINT).exists():
            begun = time.monotonic()
            state = self.config.algorithm.begin(setup)
            return Progress.begin(state, time.monotonic() - begun)
        setup = with_people(setup, len(read_people(self.folder)))
        arrays = self.folder.read_arrays(CHECKPOINT)
        self._check(arrays, setup)
        if arrays.pop(APART, None) is not None:
            arrays |= {f"{TEACHER}.{name}": array for name, array in self.folder.read_arrays(MODEL[TEACHER]).items()}
        setup = replace(setup, popularity=arrays.pop("run/popularity", None))
        number = int(arrays.pop("run/round"))
        seconds, teaching = float(arrays.pop("run/seconds")), float(arrays.pop("run/teaching-seconds"))
        clients = {name: arrays.pop(f"clients/{name}") for name in COUNTS}
        releases = {kind: int(arrays.pop(f"releases/{kind}")) for kind in RELEASES}
        self.folder.forget_rounds(number)
        return Progress(State(setup, arrays), number, clients, releases, seconds, teaching)

    def _check(self, arrays: Arrays, setup: Setup) -> None:
        """Refuse a checkpoint of another run, or of this run with other clients."""
        counts = [arrays.get(f"clients/{name}") for name in COUNTS]
        named = {"run/round", "run/seconds", "run/teaching-seconds", *(f"releases/{kind}" for kind in RELEASES)}
        if not named <= arrays.keys() or any(count is None or len(count) != setup.num_clients for count in counts):
            raise UserError(
                f"{self.folder.path / CHECKPOINT} was not written by this run for its {setup.num_clients} clients; "
                "restore it, config.toml and the data as they were, or begin a new run with another --out"
            )

    def round(self, record: Record, progress: Progress) -> None:
        """Save a checkpoint, add the round's line, and log it."""
        self.save(progress)
        self.folder.append("rounds.jsonl", record)
        log(INFO, "%s", round_line(record, self.config.num_server_rounds))

    def save(self, progress: Progress, apart: bool = False) -> None:
        """Save a checkpoint, from which a run that was killed continues.

        Parameters
        ----------
        progress : Progress
            What is saved.
        apart : bool
            Whether the teacher is left out, because it lies beside the checkpoint; it may be most of a run's bytes.
        """
        kept: dict[str, NDArray[Any]] = {f"clients/{name}": counts for name, counts in progress.clients.items()}
        kept |= {"run/round": np.array(progress.round), "run/seconds": np.array(progress.seconds)}
        if (popularity := progress.state.setup.popularity) is not None:
            kept["run/popularity"] = popularity
        kept |= {"run/teaching-seconds": np.array(progress.teaching_seconds)}
        kept |= {f"releases/{kind}": np.array(count) for kind, count in progress.releases.items()}
        state = progress.state.arrays
        if apart:
            state = {name: array for name, array in state.items() if not name.startswith(f"{TEACHER}.")}
            kept[APART] = np.array(True)
        self.folder.write_arrays(CHECKPOINT, {**state, **kept})

    def finish(self, strategy: Distillation) -> None:
        """Write the models, the clients' table and the summary."""
        progress = strategy.progress
        models = self.write_models(progress)
        if strategy.teacher_per_user is not None:
            models["teacher"] |= intervals(strategy.teacher_per_user, self.config.seed)
        if strategy.per_user is not None:
            models.setdefault("student", {}).update(intervals(strategy.per_user, self.config.seed))
        elif strategy.student_quality:
            models.setdefault("student", {}).update(strategy.student_quality)
        self.folder.write_table("clients.parquet", clients_table(progress))
        self.folder.write_json("summary.json", self.summary(strategy, models))

    def write_models(self, progress: Progress) -> dict[str, dict[str, Any]]:
        """Write teacher and student, and the checkpoint without the teacher; return what is known of their size."""
        protocol, models = self.config.algorithm, dict[str, dict[str, Any]]()
        for name, model in (
            (TEACHER, protocol.teacher(progress.state)),
            (STUDENT, protocol.student(progress.state)),
        ):
            if model is not None:
                self.folder.write_arrays(MODEL[name], stored_arrays(model))
                size = model_size(model, deployed=name == STUDENT)
                models[name] = size | {"training-seconds": progress.teaching_seconds}
        if STUDENT in models and (steps := self.config.lists.read):
            adjustment = Adjustment.learn(steps, progress.state.setup.public)
            self.folder.write_arrays(LISTS, adjustment.arrays())
        self.save(progress, apart=any(name.startswith(f"{TEACHER}.") for name in progress.state.arrays))
        return models

    def summary(self, strategy: Distillation, models: dict[str, Any]) -> dict[str, Any]:
        """Return the server's part of ``summary.json``."""
        progress = strategy.progress
        told = {} if self.profiles is None else {"profiles": profile_rows(self.config, self.profiles, strategy)}
        return told | {
            "name": self.config.name,
            "algorithm": self.config.algorithm.name,
            "rounds": progress.round,
            "seed": self.config.seed,
            "models": models,
            "traffic": traffic(progress),
            "speed": speed(progress),
            "clients": {
                "registered": progress.state.setup.num_clients,
                "answered": int((progress.clients["answered"] > 0).sum()),
                "failed-answers": progress.total(["failed"]),
            },
            "privacy": privacy(self.config, strategy.mechanism, progress) | {"metrics": strategy.quality},
        }


def profile_rows(config: Config, profiles: NDArray[np.str_], strategy: Distillation) -> dict[str, Any]:
    """Return how many clients have each device profile, the size of its student, and its quality.

    Quality is there where devices tell it user by user: neither under masks, nor where metrics need protection.
    """
    catalogue = strategy.progress.state.setup.public.catalogue
    quality = {} if strategy.per_user is None else by_profile(strategy.per_user, profiles, config.seed)
    return {
        name: {"clients": int((profiles == name).sum())}
        | model_size(profile.model.build(catalogue, seed=0), deployed=False)
        | quality.get(name, {})
        for name, profile in config.clients.profiles.items()
    }


def privacy(config: Config, mechanism: Mechanism, progress: Progress) -> dict[str, Any]:
    """Return the privacy statement and the budget spent; epsilon and delta are None without protection.

    ``sums`` is ``secure`` or ``clear`` as configured, and ``single`` where the server needs single answers.
    """
    options = config.privacy
    report: dict[str, Any] = {"mode": options.mode, "epsilon": None, "delta": None, "statement": config.promise}
    report["sums"] = options.sums if config.algorithm.masks() else "single"
    report["way"] = asdict(mechanism.way)
    if options.student.epsilon is not None:
        report["students"] = options.student.summary(progress.releases[ANSWERS], config.num_server_rounds)
    if not mechanism.active:
        return report
    return report | {
        "epsilon": mechanism.spent(progress.releases),
        "epsilon-planned": options.epsilon,
        **mechanism.guarantee.conditions,
        "noise-multiplier": mechanism.multiplier,
        "noise-on-the-sum": mechanism.noise,
        "releases-per-client": mechanism.releases,
    }


def speed(progress: Progress) -> dict[str, float]:
    """Return seconds and memory; client-rounds per second do not count the server's teaching, which has its own row."""
    rounds, exchange = max(1, progress.round), max(progress.seconds - progress.teaching_seconds, 1e-9)
    return {
        "seconds-per-round": progress.seconds / rounds,
        "teaching-seconds-per-round": progress.teaching_seconds / rounds,
        "client-rounds-per-second": progress.total(["answered"]) / exchange,
        "peak-memory-bytes": peak_memory(),
    }


def traffic(progress: Progress) -> dict[str, float]:
    """Return bytes of the serialised messages, per client and round, and per client in the whole run."""
    asked, clients = max(1, progress.total(["asked"])), max(1, int((progress.clients["asked"] > 0).sum()))
    answered = max(1, progress.total(["answered"]))
    up, down = progress.total(["up-bytes"]), progress.total(["down-bytes"])
    evaluation_up, evaluation_down = progress.total(["evaluation-up-bytes"]), progress.total(["evaluation-down-bytes"])
    everyone = max(1, progress.state.setup.num_clients)
    return {
        "up-bytes-per-client-round": up / answered,
        "down-bytes-per-client-round": down / asked,
        "total-up-bytes-per-client": up / clients + evaluation_up / everyone,
        "total-down-bytes-per-client": down / clients + evaluation_down / everyone,
        "evaluation-up-bytes-per-client": evaluation_up / everyone,
        "evaluation-down-bytes-per-client": evaluation_down / everyone,
        "handshake-bytes-per-client": progress.total(["handshake-bytes"]) / clients,
        "catalogue-bytes-per-client": progress.total(["catalogue-bytes"]) / everyone,
    }


def model_size(model: Recommender, deployed: bool) -> dict[str, Any]:
    """Return a model's number of parameters, its bytes and their precision; a deployed model counts as it is sent."""
    parameters, size = model.size()
    arrays = export_arrays(model) if deployed else stored_arrays(model)
    kinds = {array.dtype.name for array in arrays.values() if array.dtype.kind == "f" or array.dtype == np.int8}
    if deployed:
        size = sum(array.nbytes for array in arrays.values())
    return {"parameters": parameters, "bytes": size, "precision": " and ".join(sorted(kinds))}


def clients_table(progress: Progress) -> pd.DataFrame:
    """Return one row of counts and bytes per registered client."""
    counts: Mapping[str, NDArray[np.int64]] = progress.clients
    return pd.DataFrame({"client": np.arange(progress.state.setup.num_clients), **counts})


def round_line(record: Record, rounds: int) -> str:
    """Return a round as one aligned line."""
    metrics, spent = record["metrics"], record["traffic"]
    scores = " | ".join(
        f"{who} NDCG@20 {metrics[f'{who}.ndcg@20']:.4f}"
        for who in ("teacher", "student")
        if f"{who}.ndcg@20" in metrics
    )
    if "student.private.ndcg@20" in metrics:
        value, error = (metrics[f"student.private.ndcg@20{end}"] for end in ("", ".noise"))
        scores += f"{' | ' * bool(scores)}student as released {value:.3f} ± {error:.3f}"
    width = len(str(rounds))
    failed = sum(record["failures"].values())
    line = f"[ROUND {record['round']:>{width}}/{rounds}] {scores or 'not evaluated'} | "
    line += f"answers {record['answers']}/{record['asked']}"
    line += (
        f" | up {spent['up-bytes'] / 1e6:.2f} MB, down {spent['down-bytes'] / 1e6:.2f} MB | {record['seconds']:.1f} s"
    )
    if "epsilon" in record:
        conditions = f"one {record['unit']}, delta {record['delta']:g}, {record['adjacency']}, {record['sampling']}"
        line += f" | epsilon {record['epsilon']:.3g} of {record['epsilon-planned']:g} ({conditions})"
    return line + (f" | {clients(failed)} failed ({by_reason(record['failures'])})" if failed else "")
