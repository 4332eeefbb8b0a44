"""Small finished runs, whose student is written down rather than trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.data.catalogue import Catalogue
from fedkd.models.arrays import stored_arrays
from fedkd.models.base import Recommender
from fedkd.protocols.base import GlobalStudent
from fedkd.runs.config import Config, load
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder

SMALL = ("data.synthetic.users=40", "data.synthetic.items=40", "data.synthetic.mean-history=10", "algorithm.rank=16")
TITLES = (
    "Heat (1995)",
    "Alien (1979)",
    "Aliens (1986)",
    "Matrix, The (1999)",
    "Amélie (2001)",
    "Twins (1988)",
    "Twins",
)
QUALITY = {"mean": 0.4, "low": 0.38, "high": 0.42}


def catalogue() -> Catalogue:
    """Forty items, the first of them with titles that people know, half of them of either category."""
    items = federation(load(None, SMALL)).fold.train.catalogue
    titles = np.array([*TITLES, *(f"Item number {number}" for number in range(len(TITLES), len(items)))])
    membership = np.arange(len(items))[:, None] % 2 == np.arange(2)
    return Catalogue(items.ids, titles, ("Even", "Odd"), membership)


def finished_run(
    path: Path,
    settings: tuple[str, ...] = SMALL,
    student: Recommender | None = None,
    summary: Mapping[str, Any] | None = None,
) -> Path:
    config = load(None, settings)
    assert isinstance(config.algorithm, GlobalStudent)
    folder, items = RunFolder.create(path, config), catalogue()
    model = student or config.algorithm.blank_student(items)
    folder.write_arrays("student.safetensors", stored_arrays(model))
    items.write(path / "catalogue.safetensors")
    folder.write_json("summary.json", {**facts(config), **(summary or {})})
    return path


def facts(config: Config) -> dict[str, Any]:
    student = {"ndcg@20": QUALITY, "ndcg@10": QUALITY, "parameters": 1280, "bytes": 5120}
    way = {"client": "answers", "total": "the sum", "server": "adds", "models": "no promise", "single": "everything"}
    return {
        "name": config.name,
        "algorithm": config.algorithm.name,
        "rounds": 1,
        "seed": 0,
        "models": {"student": student},
        "slices": {"student": {"history 10-19": {"ndcg@20": QUALITY}}},
        "privacy": {
            "mode": "none",
            "epsilon": None,
            "delta": None,
            "statement": config.promise,
            "sums": "secure",
            "way": way,
        },
        "data": {"fingerprint": "0123", "users": 40, "items": 40, "interactions": 400, "public-users": 4},
        "split": {"fingerprint": "4567", "kind": "ratio", "target": "test"},
        "clients": {"registered": 36},
    }


def seeded(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)
