"""One configuration: defaults, then a TOML file, then ``key=value``; frozen and typed."""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from fedkd.data.options import DataOptions, PartitionOptions, SplitOptions
from fedkd.errors import UserError
from fedkd.evaluation.options import EvaluationOptions
from fedkd.models.table import MODELS
from fedkd.options import Options, kebab
from fedkd.privacy.options import ONE_BY_ONE, SINGLE, SUMS, PrivacyOptions
from fedkd.protocols.residual import Residual
from fedkd.protocols.table import PROTOCOLS, AnyProtocol


class RuntimeOptions(Options):
    """How a run uses its machine or network.

    Attributes
    ----------
    cohort_size : int
        Clients trained together as one batched computation; results do not depend on it.
    workers, threads : int
        Cohorts trained at the same time in one process, and threads of each computation.
    timeout_seconds : float
        How long an answer may take; later ones cost the answer, not the run.
    wait_seconds : float
        How long to wait for all clients to connect before the first round.
    run_folder : Path, optional
        Where the run is written.
    server_data : Path, optional
        The server's own folder in a deployed run; without it the run is a simulation that loads ``data``.
    """

    cohort_size: int = Field(default=64, ge=1)
    workers: int = Field(default=1, ge=1)
    threads: int = Field(default=2, ge=1)
    timeout_seconds: float = Field(default=600.0, gt=0)
    wait_seconds: float = Field(default=60.0, ge=0)
    run_folder: Path | None = None
    server_data: Path | None = None


class Config(Options):
    """Everything that decides a run.

    Attributes
    ----------
    name : str
        What the run is called.
    seed : int
        Source of every random number but those of privacy.
    num_server_rounds : int
        Rounds of the protocol.
    fraction_train : float
        Share of the registered clients asked in a round; clients with nothing to contribute are not counted.
    """

    name: str = Field(default="fedkd", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int = Field(default=0, ge=0)
    num_server_rounds: int = Field(default=1, ge=1, le=10**9)
    fraction_train: float = Field(default=1.0, gt=0, le=1)
    data: DataOptions = DataOptions()
    split: SplitOptions = SplitOptions()
    partition: PartitionOptions = PartitionOptions()
    algorithm: Annotated[AnyProtocol, Field(discriminator="name")] = Residual()
    evaluation: EvaluationOptions = EvaluationOptions()
    runtime: RuntimeOptions = RuntimeOptions()
    privacy: PrivacyOptions = PrivacyOptions()

    @property
    def promise(self) -> str:
        """What the run promises of privacy, and what it does not: the plain sentences of log and report."""
        seen = SUMS[self.privacy.sums] if self.algorithm.masks() else SINGLE
        open_ = self.privacy.mode == "none" and (self.privacy.sums == "clear" or not self.algorithm.masks())
        students = self.privacy.student.statement(self.num_server_rounds)
        told = [self.privacy.statement, seen.format(self.privacy.minimum_cohort), ONE_BY_ONE if open_ else "", students]
        return " ".join(filter(None, told))

    @model_validator(mode="after")
    def _students_take_noise(self) -> "Config":
        local = getattr(self.algorithm, "local", None)
        if self.privacy.student.epsilon is not None and getattr(local, "optimiser", None) != "sgd":
            raise ValueError(
                "privacy.student.epsilon needs students that clients train on histories by plain gradient steps; "
                "choose algorithm iterated, fedavg or fedmd, and set algorithm.local.optimiser=sgd"
            )
        return self

    @model_validator(mode="after")
    def _protectable(self) -> "Config":
        mode = self.privacy.mode
        if mode == "none":
            return self
        if reason := self.algorithm.unprotectable(mode):
            raise ValueError(f"privacy.mode={mode} and algorithm {self.algorithm.name} do not go together: {reason}")
        if mode == "distributed" and self.privacy.sums == "clear":
            raise ValueError(
                "in mode distributed a client adds only a share of the noise, so its answer must not be seen alone; "
                "leave privacy.sums at secure, or set privacy.mode=local"
            )
        if self.privacy.votes != "gaussian" and not all(self.algorithm.ballot() or (0,)):
            raise ValueError(
                f"privacy.votes={self.privacy.votes} needs answers that are votes among a panel of items; choose "
                "algorithm gnmax and set algorithm.panel, for example to 50"
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
        A missing or broken file, an unknown key, or a value out of range; the message names key and mend.
    """
    tree = _read_toml(path) if path is not None else {}
    for override in overrides:
        _override(tree, override)
    if path is not None:
        _anchor(tree, path.parent)
    return validate(tree)


def validate(tree: Mapping[str, Any]) -> Config:
    """Return the configuration that a nested mapping describes; a ``UserError`` lists everything wrong in it."""
    tree = dict(tree)
    algorithm = tree.get("algorithm")
    if isinstance(algorithm, Mapping) and "name" not in algorithm:
        tree["algorithm"] = {"name": Residual().name, **algorithm}
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors()]
        raise UserError("the configuration cannot be used:\n  " + "\n  ".join(lines)) from None


def dump(config: Config) -> dict[str, Any]:
    """Return a configuration as nested plain values with kebab-case keys; absent values are left out."""
    return config.model_dump(mode="json", by_alias=True, exclude_none=True)


def flatten(config: Config) -> dict[str, bool | int | float | str]:
    """Return a configuration as Flower's run configuration: dotted keys, scalars, lists as JSON, absent as ``""``."""
    return dict(_leaves(config.model_dump(mode="json", by_alias=True)))


def unflatten(flat: Mapping[str, Any]) -> Config:
    """Read Flower's run configuration.

    Keys that stand at their default count as not given, so that the default protocol's keys do not disturb another
    protocol. The key ``overrides`` holds ``key=value`` pairs, separated by blanks, that are not declared there.
    """
    defaults = flatten(Config())
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        if key != "overrides" and (key not in defaults or defaults[key] != value):
            _set(tree, key, value)
    for override in str(flat.get("overrides", "")).split():
        _override(tree, override)
    return validate(tree)


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, bool | int | float | str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield prefix + key, json.dumps(value)
        else:
            yield prefix + key, "" if value is None else value


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"cannot read the configuration {path}: {error.strerror}; give the path of a TOML file"
        ) from None
    except ValueError as error:  # no TOML, no text, or a number too long to be read
        raise UserError(f"{path} is not valid TOML: {error}") from None


def _override(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set takes key=value, for example --set seed=1; it got {override!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:  # no TOML, or a number too long to be read
        value = text
    _set(tree, key, value)


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise UserError(f"{key}: {part} is a value, not a table of keys")
    if isinstance(value, str) and value.startswith("["):
        value = _list(key, value)
    if last == "name" and path == ["algorithm"] and tree.get("name", value) != value:
        tree.clear()  # another protocol: the file's parameters belong to the one it named
    tree[last] = value


def _list(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise UserError(f'{key}: {text} is no list; write it as ["one", "two"]') from None


def _anchor(tree: dict[str, Any], folder: Path) -> None:
    """Make a data path of the file absolute: as typed where it exists from here, else beside the file."""
    data = tree.get("data")
    path = data.get("path") if isinstance(data, dict) else None
    if isinstance(path, str) and path:
        here = Path(path).expanduser()
        tree["data"]["path"] = str(
            (here if here.exists() else folder / here if (folder / here).exists() else here).absolute()
        )


def _explain(detail: Any) -> str:
    location = [str(part) for part in detail["loc"]]
    if (
        len(location) > 1
        and location[0] == "algorithm"
        and location[1] == detail.get("ctx", {}).get("tag", location[1])
    ):
        location.pop(1)  # pydantic names the chosen protocol here, which is no key
    key = ".".join(location)
    if detail["type"] == "extra_forbidden":
        return f"{key}: no such key{_did_you_mean(key)}"
    if detail["type"] == "value_error":
        return ": ".join(part for part in (key, str(detail["ctx"]["error"])) if part)
    return f"{key}: {detail['msg'][0].lower()}{detail['msg'][1:]}, got {detail['input']!r}"


def _did_you_mean(key: str) -> str:
    known = list(flatten(Config()))
    for protocol in PROTOCOLS:
        known += [f"algorithm.{name}" for name, _ in _leaves(protocol().model_dump(mode="json", by_alias=True))]
    of_models = {f"algorithm.model.{kebab(name)}" for model in MODELS for name in model.model_fields}
    if key in of_models:
        return "; it belongs to another model than the chosen one"
    known += of_models
    sections = {name.rpartition(".")[0] for name in known} - {""}
    if key in (*known, *sections):
        return "; it belongs to another algorithm than the chosen one"
    close = difflib.get_close_matches(key, [*known, *sections], n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def flower_settings(config: Config) -> dict[str, bool | int | float | str]:
    """Return what ``flwr run -c`` must be told: declared keys that differ, the others as ``overrides``."""
    declared, given = flatten(Config()), flatten(config)
    settings = {key: value for key, value in given.items() if key in declared and value != declared[key]}
    others = [f"{key}={_as_toml(value)}" for key, value in given.items() if key not in declared]
    return settings | ({"overrides": " ".join(others)} if others else {})


def _as_toml(value: bool | int | float | str) -> str:
    return json.dumps(value) if isinstance(value, bool | int | float) else value.replace(" ", "")
