"""One small federation on Flower's simulation engine, and in process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulations.deployment import SMALL, in_process, means, read


@pytest.mark.network
@pytest.mark.slow
def test_flowers_engine_gives_the_same_metrics(tmp_path: Path, flwr_run: Callable[[Path, list[str]], None]) -> None:
    alone = in_process(tmp_path / "in-process")
    flwr_run(tmp_path / "run", SMALL)
    for model in ("teacher", "student"):
        assert means(read(tmp_path / "run"), model) == pytest.approx(means(alone, model), abs=5e-4)


@pytest.mark.network
@pytest.mark.slow
def test_flowers_engine_runs_a_protocol_that_is_not_in_the_package(
    tmp_path: Path, flwr_run: Callable[[Path, list[str]], None]
) -> None:
    own = ["algorithm.name=tests.protocols.foreign:MeanScores", "algorithm.clip=3"]
    flwr_run(tmp_path / "run", [*SMALL[:3], *own, *SMALL[-3:]])
    summary = read(tmp_path / "run")
    assert summary["algorithm"] == "tests.protocols.foreign:MeanScores"
    assert summary["clients"]["failed-answers"] == 0
    assert 0 < summary["models"]["student"]["ndcg@20"]["mean"] <= 1
