"""One configuration: defaults, then a TOML file, then ``key=value``; frozen and typed."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import Field, model_validator

from fedkd.data.options import PartitionOptions, SplitOptions
from fedkd.data.sources.synthetic import Synthetic
from fedkd.data.sources.table import AnySource
from fedkd.evaluation.options import EvaluationOptions
from fedkd.evaluation.rows import BASELINES, BY_NAME, PARAMETERS, PUBLIC, USUAL
from fedkd.feedback.options import FeedbackOptions
from fedkd.gate.options import GateOptions
from fedkd.lists.options import ListOptions
from fedkd.models.device import DeviceName
from fedkd.options import Options
from fedkd.privacy.options import PrivacyOptions
from fedkd.protocols.base import GlobalStudent
from fedkd.protocols.residual import Residual
from fedkd.protocols.table import AnyProtocol
from fedkd.runs.mistakes import validated
from fedkd.runs.settings import anchor, as_toml, change, leaves, pair, read_toml
from fedkd.training.profiles import ClientOptions


class RuntimeOptions(Options):
    """Use of the machine and the network.

    Attributes
    ----------
    cohort_size : int
        Clients trained together as one batched computation; results do not depend on it.
    workers, threads : int
        Cohorts trained at the same time in one process, and threads of each computation.
    device : str
        The processor that trains and scores models: ``cpu``, ``cuda``, ``mps``, or ``auto``, the fastest that torch
        has. Closed forms, secure sums and training under noise stay on the CPU.
    timeout_seconds : float
        How long an answer may take; a later answer is lost, and the run goes on.
    wait_seconds : float
        How long to wait for all clients to connect before the first round.
    run_folder : Path, optional
        The folder to which the run is written.
    server_data : Path, optional
        The server's own folder in a deployed run; without it the run is a simulation that loads ``data``.
    """

    cohort_size: int = Field(default=64, ge=1)
    workers: int = Field(default=1, ge=1)
    threads: int = Field(default=2, ge=1)
    device: DeviceName = "auto"
    timeout_seconds: float = Field(default=600.0, gt=0)
    wait_seconds: float = Field(default=60.0, ge=0)
    run_folder: Path | None = None
    server_data: Path | None = None


class Config(Options):
    """The configuration of a run.

    Attributes
    ----------
    name : str
        Name of the run.
    seed : int
        Seed of all random numbers except those of privacy.
    num_server_rounds : int
        Rounds of the protocol.
    fraction_train : float
        Share of the registered clients asked in a round; clients with nothing to contribute are not counted.
    data : Source
        The source of the interactions, with keys of its own.
    algorithm : Protocol
        The protocol, chosen by its name, with keys of its own.
    """

    name: str = Field(default="fedkd", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int = Field(default=0, ge=0)
    num_server_rounds: int = Field(default=1, ge=1, le=10**9)
    fraction_train: float = Field(default=1.0, gt=0, le=1)
    data: AnySource = Synthetic()
    split: SplitOptions = SplitOptions()
    partition: PartitionOptions = PartitionOptions()
    clients: ClientOptions = ClientOptions()
    algorithm: AnyProtocol = Residual()
    evaluation: EvaluationOptions = EvaluationOptions()
    lists: ListOptions = ListOptions()
    runtime: RuntimeOptions = RuntimeOptions()
    privacy: PrivacyOptions = PrivacyOptions()
    gate: GateOptions = GateOptions()
    feedback: FeedbackOptions = FeedbackOptions()

    @property
    def promise(self) -> str:
        """The privacy guarantee of the run and its limits, in plain sentences for log and report."""
        return self.privacy.promise(self.algorithm.masks(), self.num_server_rounds)

    @property
    def masked(self) -> bool:
        """Whether real clients mask their answers."""
        return self.privacy.masked and self.algorithm.masks()

    def unmakeable(self, baseline: str) -> str:
        """Return why a baseline cannot be made with these settings, and what mends it; empty where it can."""
        if BY_NAME[baseline].source == PUBLIC and not self.partition.public_fraction:
            return "there are no public users; set partition.public-fraction above 0, for example 0.1"
        if baseline == "public-student" and not self.algorithm.learns_from_public:
            return f"public users alone teach no student of algorithm {self.algorithm.name}"
        if baseline == "centralised-teacher" and not self.algorithm.neural_teacher:
            return f"algorithm {self.algorithm.name} has no neural teacher"
        if BY_NAME[baseline].alone and not self.algorithm.tunable:
            return f"algorithm {self.algorithm.name} has no student that public users could teach without it"
        if baseline == "centralised" and not self.algorithm.centralises:
            return f"algorithm {self.algorithm.name} has no model of everyone's data"
        if BY_NAME[baseline].source == PARAMETERS and self.privacy.vote_mechanism is not None:
            return f"its answers are no votes, which privacy.votes={self.privacy.votes} needs"
        return ""

    @model_validator(mode="after")
    def _baselines_can_be_made(self) -> "Config":
        asked = self.evaluation.baselines
        reasons = {name: self.unmakeable(name) for name in asked if set(asked) != set(USUAL)}
        if impossible := [f"{name} ({reason})" for name, reason in reasons.items() if reason]:
            raise ValueError(
                f"evaluation.baselines asks for what cannot be made: {'; '.join(impossible)}; or leave it out there"
            )
        return self

    @model_validator(mode="after")
    def _students_may_differ(self) -> "Config":
        if self.clients.profiles and not self.algorithm.profiled():
            raise ValueError(
                f"clients.profiles gives clients students of different shapes, and algorithm {self.algorithm.name} "
                "needs one shape for all; leave clients.profiles out, or set algorithm.name to one whose clients keep "
                "their own students, for example fedmd"
            )
        return self

    @model_validator(mode="after")
    def _lists_are_of_one_student(self) -> "Config":
        if self.lists.steps and not isinstance(self.algorithm, GlobalStudent):
            raise ValueError(
                f"lists.steps adjusts the lists of one student for everybody, and algorithm {self.algorithm.name} has "
                "none; leave lists.steps out, or set algorithm.name to one that has, for example residual"
            )
        return self

    @model_validator(mode="after")
    def _gate_can_be_judged(self) -> "Config":
        named = {model: each.text for each in self.gate.read for model in each.models if model in BASELINES}
        for model, text in named.items():
            if reason := self.unmakeable(model):
                raise ValueError(f"gate.requirements: {text!r} needs {model}, which cannot be made: {reason}")
        if self.gate.requirements and self.privacy.mechanism.active and self.evaluation.target == "test":
            raise ValueError(
                "gate.requirements are judged on the validation part, and under protection a run for it would spend "
                "the budget twice; set evaluation.target=validation"
            )
        return self

    @model_validator(mode="after")
    def _students_take_noise(self) -> "Config":
        local = getattr(self.algorithm, "local", None)
        if self.privacy.student.epsilon is not None and getattr(local, "optimiser", None) != "sgd":
            raise ValueError(
                "privacy.student.epsilon needs students that clients train on histories by plain gradient steps; "
                "set algorithm.name=iterated, fedavg or fedmd, and algorithm.local.optimiser=sgd"
            )
        return self

    @model_validator(mode="after")
    def _protectable(self) -> "Config":
        mechanism = self.privacy.mechanism
        if not mechanism.active:
            return self
        if reason := self.algorithm.unprotectable():
            raise ValueError(
                f"privacy.mode={mechanism.name} and algorithm {self.algorithm.name} do not go together: {reason}"
            )
        if self.privacy.vote_mechanism is not None and not all(self.algorithm.ballot() or (0,)):
            raise ValueError(
                f"privacy.votes={self.privacy.votes} needs answers that are votes among a panel of items; set "
                "algorithm.name=gnmax and algorithm.panel=50"
            )
        if self.privacy.unit == "user" and self.partition.clients != "users":
            raise ValueError(
                f"privacy.unit=user needs one user a client, and partition.clients is {self.partition.clients}; "
                "set privacy.unit=client, which hides a whole silo"
            )
        return self


def load(path: Path | None, overrides: Iterable[str] = ()) -> Config:
    """Read a TOML file and ``key=value`` overrides into a configuration.

    Raises
    ------
    UserError
        The file is missing or broken, a key is unknown, or a value is out of range; the message says how to correct it.
    """
    tree = read_toml(path) if path is not None else {}
    change(tree, map(pair, overrides), defaults())
    if path is not None:
        anchor(tree, path.parent)
    return validate(tree)


def changed(config: Config, overrides: Iterable[str]) -> Config:
    """Return a configuration with ``key=value`` overrides; a ``UserError`` lists everything wrong in it."""
    tree = dump(config)
    change(tree, map(pair, overrides), defaults())
    return validate(tree)


def validate(tree: Mapping[str, Any]) -> Config:
    """Return the configuration that a nested mapping describes; a ``UserError`` lists everything wrong in it."""
    return validated(Config, tree)


def dump(config: Config) -> dict[str, Any]:
    """Return a configuration as nested plain values with kebab-case keys; absent values are left out."""
    return config.model_dump(mode="json", by_alias=True, exclude_none=True)


def flatten(config: Config) -> dict[str, bool | int | float | str]:
    """Return a configuration as Flower's run configuration: dotted keys, scalars, and lists as JSON.

    Absent values of keys that the default configuration has are ``""``; those of other keys are left out.
    """
    given = leaves(config.model_dump(mode="json", by_alias=True))
    return {key: "" if value is None else value for key, value in given if value is not None or key in defaults()}


@cache
def defaults() -> Mapping[str, bool | int | float | str]:
    """Return the default configuration as Flower's run configuration."""
    given = leaves(Config().model_dump(mode="json", by_alias=True))
    return MappingProxyType({key: "" if value is None else value for key, value in given})


def unflatten(flat: Mapping[str, Any]) -> Config:
    """Read Flower's run configuration.

    A key with its default value counts as not given, so that keys of the default protocol and data source do not
    disturb another one. The key ``overrides`` holds ``key=value`` pairs, separated by blanks, for keys that are not
    declared in Flower's configuration.
    """
    others = map(pair, str(flat.get("overrides", "")).split())
    given = [(key, value) for key, value in flat.items() if defaults().get(key) != value]
    tree: dict[str, Any] = {}
    change(tree, [each for each in (*given, *others) if each[0] != "overrides"], defaults())
    return validate(tree)


def flower_settings(config: Config) -> dict[str, bool | int | float | str]:
    """Return the settings for ``flwr run -c``: declared keys that differ, and all others as ``overrides``."""
    declared, given = defaults(), flatten(config)
    settings = {key: value for key, value in given.items() if key in declared and value != declared[key]}
    others = [f"{key}={as_toml(value)}" for key, value in given.items() if key not in declared]
    return settings | ({"overrides": " ".join(others)} if others else {})
