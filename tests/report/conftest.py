from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedkd.evaluation.metrics import METRICS
from fedkd.evaluation.slices import HISTORY_LENGTHS
from fedkd.runs.config import Config
from fedkd.runs.folder import RunFolder

LEVEL = {"student": 0.447, "teacher": 0.431, "ease": 0.451, "centralised": 0.397, "fedavg": 0.352}
LEVEL |= {"listed": 0.441, "undistilled": 0.355, "tuned": 0.356}
LEVEL |= {"public-teacher": 0.359, "public-student": 0.355, "local-only": 0.243, "item-knn": 0.402, "popularity": 0.218}
SHARE = dict(zip(METRICS, (0.93, 1.0, 0.55, 0.88, 1.9, 1.35), strict=True))


def interval(mean: float, half: float = 0.012) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def model(level: float) -> dict[str, Any]:
    row: dict[str, Any] = {metric: interval(level * share) for metric, share in SHARE.items()}
    return row | {
        "parameters": 2_722_500,
        "bytes": 10_890_000,
        "coverage@10": 0.31,
        "novelty@10": 2.4,
        "diversity@10": 0.71,
    }


def slices(level: float) -> dict[str, Any]:
    history = {f"history {name}": 0.7 + 0.15 * place for place, name in enumerate(HISTORY_LENGTHS)}
    items = {"head items": 1.1, "mid items": 0.6, "tail items": 0.2}
    return {name: {"ndcg@20": interval(level * factor, 0.03)} for name, factor in (history | items).items()}


def summary(rounds: int, level: float = 1.0) -> dict[str, Any]:
    models = {name: model(level * mean) for name, mean in LEVEL.items()}
    models["student"] |= {"parameters": 105_600, "bytes": 211_200, "agreement@10": 0.81}
    models["fedavg"] |= {"traffic": {"total-up-bytes-per-client": 1.7e7, "total-down-bytes-per-client": 1.8e7}}
    models["local-only"] |= {"traffic": {"total-up-bytes-per-client": 254.0, "total-down-bytes-per-client": 258.0}}
    return {
        "name": "ml100k",
        "algorithm": "residual",
        "rounds": rounds,
        "seed": 0,
        "models": models,
        "ratios": {
            "student/ease": {"ndcg@20": interval(0.991, 0.006)},
            "teacher/ease": {"ndcg@20": interval(0.956, 0.008)},
        },
        "slices": {name: slices(LEVEL[name]) for name in ("student", "teacher", "ease", "popularity")},
        "traffic": {
            "up-bytes-per-client-round": 158_400.0,
            "down-bytes-per-client-round": 9_210.0,
            "total-up-bytes-per-client": 158_700.0,
            "total-down-bytes-per-client": 220_410.0,
            "evaluation-up-bytes-per-client": 300.0,
            "evaluation-down-bytes-per-client": 211_200.0,
        },
        "speed": {"seconds-per-round": 2.31, "client-rounds-per-second": 367.1, "peak-memory-bytes": 812_000_000},
        "clients": {"registered": 849, "answered": 846, "failed-answers": 3},
        "privacy": {"mode": "none", "epsilon": None, "delta": None, "statement": Config().promise, "sums": "secure"},
        "data": {
            "fingerprint": "0123456789abcdef",
            "users": 943,
            "items": 1682,
            "interactions": 100_000,
            "public-users": 94,
            "private-users": 849,
            "clients": 849,
            "dropped": {"duplicate interactions": 12, "users with one interaction": 0},
        },
        "split": {"fingerprint": "fedcba9876543210", "kind": "ratio", "target": "test"},
        "seconds": 31.5,
    }


def line(number: int, rounds: int) -> dict[str, Any]:
    gained = (1 - np.exp(-3 * number / rounds)) if rounds > 1 else 1.0
    means = {name: 0.218 + (LEVEL[name] - 0.218) * gained for name in ("student", "teacher")}
    metrics = {f"{name}.{metric}": mean * share for name, mean in means.items() for metric, share in SHARE.items()}
    return {
        "round": number,
        "seconds": 2.3,
        "asked": 849,
        "answers": 846,
        "failures": {"late": 2, "malformed: NaN in 'residual'": 1} if number == 1 else {},
        "metrics": metrics,
        "traffic": {"up-bytes": 134_000_000 // rounds, "down-bytes": 7_800_000, "evaluation-down-bytes": 1},
    }


MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write a realistic finished run: ``make_run(name, rounds, changes of the summary, config)``."""

    def make(name: str = "run", rounds: int = 1, config: Config | None = None, **changes: Any) -> Path:
        folder = RunFolder.create(tmp_path / name, config or Config(name="ml100k", num_server_rounds=rounds))
        for number in range(1, rounds + 1):
            folder.append("rounds.jsonl", line(number, rounds))
        folder.write_json("summary.json", summary(rounds) | changes)
        return folder.path

    return make
