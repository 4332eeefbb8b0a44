"""The folder of a run, which a person can read.

``config.toml`` (complete), ``environment.json``, ``catalogue.safetensors`` (the items with their content),
``rounds.jsonl`` (a line a round), ``clients.parquet``,
``summary.json``, ``privacy.jsonl``, ``teacher.safetensors``, ``student.safetensors``, ``checkpoint/``, ``report.html``.
"""

import json
import os
import platform
import secrets
import shutil
import sys
import textwrap
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fedkd.atomic_file import naming, replace_file, replacing
from fedkd.errors import UserError
from fedkd.runs.config import Config, dump, flatten, validate

Json = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class RunFolder:
    """A run's folder.

    Attributes
    ----------
    path : Path
        Path of the folder.
    """

    path: Path

    @classmethod
    def create(cls, path: Path, config: Config) -> "RunFolder":
        """Make a new run's folder with its configuration and environment.

        The configuration is written last. A folder without it holds no run, and another run may begin in it.

        Raises
        ------
        UserError
            The folder holds a run already.
        """
        cls(path).check_new()
        path.mkdir(parents=True, exist_ok=True)
        _write(path / "environment.json", _json(environment(config)))
        head = {"mode": config.privacy.mode, "statement": config.promise, "run": secrets.token_hex(8)}
        _write(path / "privacy.jsonl", json.dumps(head) + "\n")
        folder = cls(path)
        folder.write_config(config)
        return folder

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Return the folder of an existing run, or raise a ``UserError`` if there is none."""
        if not (path / "config.toml").is_file():
            raise UserError(f"{path} is not a run's folder: it has no config.toml")
        return cls(path)

    @classmethod
    def at(cls, path: Path, config: Config) -> "RunFolder":
        """Return the folder of this run at a path, which is made if there is none; see ``check``."""
        cls(path).check(config)
        return cls(path) if (path / "config.toml").exists() else cls.create(path, config)

    def check_new(self) -> None:
        """Refuse a folder that holds a run already, with a ``UserError``."""
        if any((self.path / name).exists() for name in ("config.toml", "rounds.jsonl", "checkpoint")):
            raise UserError(
                f"{self.path} holds a run already; choose another --out, or continue it with --resume {self.path}"
            )

    def check(self, config: Config) -> None:
        """Refuse a folder that holds a run of another configuration, with a ``UserError``; how it runs may differ."""
        if not (self.path / "config.toml").exists():
            return
        there, asked = flatten(self.config()), flatten(config)
        for key in sorted(there.keys() | asked.keys()):
            if not key.startswith("runtime.") and there.get(key) != asked.get(key):
                raise UserError(
                    f"{self.path} holds another run: its {key} is {there.get(key, 'absent')}, and "
                    f"{asked.get(key, 'absent')} is asked for; choose another folder, or delete that one"
                )

    def config(self) -> Config:
        """Return the run's configuration, in which the run folder is this one, even if it was moved."""
        try:
            tree = tomllib.loads((self.path / "config.toml").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path / 'config.toml'} is damaged ({error}); restore it") from None
        config = validate(tree)
        runtime = config.runtime.model_copy(update={"run_folder": self.path.absolute()})
        return config.model_copy(update={"runtime": runtime})

    def write_config(self, config: Config) -> None:
        """Write the run's configuration, with its privacy statement as a comment at the top."""
        comment = "".join(f"# {line}\n" for line in textwrap.wrap(config.promise, 116))
        _write(self.path / "config.toml", f"{comment}\n{tomli_w.dumps(dump(config))}")

    @property
    def run(self) -> str:
        """The run's own name, under which a ledger keeps its releases; a ``UserError`` if it is lost."""
        try:
            return str(self.lines("privacy.jsonl")[0]["run"])
        except (IndexError, KeyError, TypeError):
            raise UserError(
                f"{self.path / 'privacy.jsonl'} does not say which run this is, so its releases cannot be continued; "
                "restore the file, or begin a new run with another --out"
            ) from None

    @property
    def finished(self) -> bool:
        """Whether the run has finished and written its summary."""
        return (self.path / "summary.json").is_file()

    def append(self, name: str, line: Json) -> None:
        """Add a line to one of the ``.jsonl`` files, and wait until it is on the disk.

        A last line that a crash cut short is removed first, so that the new line is not appended to it.
        """
        path = self.path / name
        with naming(path), path.open("ab") as file:
            file.truncate(_whole_bytes(path))
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def lines(self, name: str) -> list[Json]:
        """Return the whole lines of a ``.jsonl`` file; a last line that a crash cut short is left out.

        Raises
        ------
        UserError
            A complete line is damaged.
        """
        path = self.path / name
        if not path.exists():
            return []
        try:
            return [dict(json.loads(line)) for line in path.read_bytes()[: _whole_bytes(path)].splitlines()]
        except (TypeError, ValueError) as error:
            raise UserError(f"{path} is damaged ({error}); restore it, or delete the broken line") from None

    def rounds(self) -> list[Json]:
        """Return the lines of ``rounds.jsonl``; a ``UserError`` if one names no round."""
        lines = self.lines("rounds.jsonl")
        for number, line in enumerate(lines, 1):
            if not isinstance(line.get("round"), int):
                raise UserError(
                    f"{self.path / 'rounds.jsonl'} is damaged (line {number} names no round); restore it, or delete "
                    "the line"
                )
        return lines

    def forget_rounds(self, after: int) -> None:
        """Keep only the complete lines of ``rounds.jsonl`` up to a round."""
        kept = [line for line in self.rounds() if line["round"] <= after]
        _write(self.path / "rounds.jsonl", "".join(json.dumps(line) + "\n" for line in kept))

    def forget_models(self) -> None:
        """Remove everything from which a finished run could go on.

        That is models, catalogue, checkpoint, clients' states, and the ledger, which holds what was released.
        """
        for name in ("checkpoint", "client-states"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for path in (*self.path.glob("*.safetensors"), *self.path.glob("privacy.ledger*")):
            path.unlink()

    def write_json(self, name: str, content: Json) -> None:
        """Write a JSON file whole or not at all."""
        _write(self.path / name, _json(content))

    def read_json(self, name: str) -> Json:
        """Read a JSON file of the run; a ``UserError`` if it is missing or damaged."""
        try:
            return dict(json.loads((self.path / name).read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError) as error:
            raise UserError(f"{self.path / name} cannot be read ({error}); the run may not have finished") from None

    def summary(self) -> Json:
        """Return the summary of a finished run; a ``UserError`` if it is missing or damaged."""
        content = self.read_json("summary.json")
        if not isinstance(content.get("models"), dict):
            raise UserError(
                f"{self.path / 'summary.json'} has no table of models, so no finished run wrote it; delete it, and "
                f"continue the run with --resume {self.path}"
            )
        return content

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write a Parquet file, whole or not at all."""
        with replacing(self.path / name) as new:
            table.to_parquet(new, index=False)

    def write_arrays(self, name: str, arrays: Arrays) -> None:
        """Write named arrays as safetensors, whole or not at all."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new:
            save_file({key: np.asarray(array, order="C") for key, array in arrays.items()}, new)

    def read_arrays(self, name: str) -> Arrays:
        """Read named arrays; a ``UserError`` if the file is missing or damaged."""
        try:
            return dict(load_file(self.path / name))
        except (OSError, SafetensorError) as error:
            raise UserError(f"{self.path / name} cannot be read ({error})") from None


def run_path(config: Config, run_id: int) -> Path:
    """Return the path of a run's folder: the configured one, or one named after the Flower run."""
    return config.runtime.run_folder or Path.cwd() / "runs" / f"flower-{run_id}"


def environment(config: Config) -> Json:
    """Return the facts about the machine that a reader needs: versions, processor, threads; no names and no paths."""
    packages = ("fedkd", "flwr", "torch", "numpy", "pandas", "opacus", "scipy")
    return {
        "python": sys.version.split()[0],
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": config.runtime.threads,
        "packages": {name: _version(name) for name in packages},
    }


@cache
def _version(package: str) -> str:
    return version(package)  # it reads all that a package says of itself


def processor() -> str:
    """Return the name of the processor, or an empty string where the system does not give it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _whole_bytes(path: Path) -> int:
    """Return the number of bytes in a file's complete lines; 0 if there is no file."""
    return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0


def _json(content: Json) -> str:
    return json.dumps(content, indent=2) + "\n"


def _write(path: Path, text: str) -> None:
    replace_file(path, text.encode())
