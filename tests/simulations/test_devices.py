"""The benchmark of processors and precisions: what is compared is the same training, and a way that fails is said."""

from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fedkd.models.device import Processor
from fedkd.models.linear import LinearConfig
from fedkd.runs.config import load
from fedkd.runs.federation import federation
from simulations.benchmark import devices
from simulations.benchmark.devices import PLAIN, Way, trained, undropped, ways

SMALL = ["--users", "100", "--items", "100", "--width", "4", "--steps", "2", "--model", "linear"]


@pytest.fixture(autouse=True)
def chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Processor, "device", Processor.device)


def invoke(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(devices.main)
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "120"})
    return result.exit_code, result.output


def test_every_processor_has_three_ways_and_the_cpu_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available", lambda: ("cuda", "cpu"))
    expected = ["cpu", "cpu, bfloat16", "cpu, compiled", "cuda", "cuda, bfloat16", "cuda, compiled"]
    assert [str(way) for way in ways()] == expected


def test_the_same_training_learns_the_same_and_less_precision_something_near() -> None:
    together = federation(load(None, ["data.synthetic.users=100", "data.synthetic.items=100"]))
    config = undropped(LinearConfig(width=4, dropout=0.5))
    first, again, mixed = (trained(config, together, way, 3) for way in (PLAIN, PLAIN, Way("cpu", mixed=True)))
    np.testing.assert_array_equal(first.scores, again.scores)
    assert first.quality == again.quality
    assert first.seconds > 0
    assert not np.array_equal(first.scores, mixed.scores)
    assert np.corrcoef(first.scores.ravel(), mixed.scores.ravel())[0, 1] > 0.9


def test_a_way_that_fails_is_said_and_the_others_have_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_plain(config: Any, together: Any, way: Way, steps: int) -> Any:
        if way.compiled:
            raise RuntimeError("no compiler")
        return trained(config, together, PLAIN, steps)

    monkeypatch.setattr(devices, "trained", only_plain)
    monkeypatch.setattr(devices, "available", lambda: ("cpu",))
    code, text = invoke(*SMALL)
    assert code == 0, text
    rows = {line.split("  ")[0]: line.split() for line in text.splitlines()}
    assert rows["cpu"][2:4] == ["1.00", "0.0e+00"]
    assert rows["cpu, compiled"][-2:] == ["fails:", "RuntimeError"]
    assert rows["cpu, bfloat16"][-2] == "0.0e+00"
    assert "no GPU here, so what one would bring is not shown" in text


def test_a_model_that_there_is_not_is_refused() -> None:
    code, text = invoke(*SMALL[:-1], "linaer")
    assert code == 2
    assert "did you mean linear" in " ".join(text.split())
