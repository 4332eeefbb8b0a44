"""What a dry run says of a run's cost, beside what the run then takes; seconds are compared by a benchmark alone."""

import json
from pathlib import Path

import pytest

from fedkd.distillation import pair_models
from fedkd.evaluation.rows import USUAL
from fedkd.protocols.residual import pair_questions, protocol
from fedkd.protocols.residual.pair_questions import CoOccurrenceQuestion
from fedkd.report import render
from fedkd.runs.config import Config, load
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from fedkd.runs.machine import disk_usage
from simulations import baselines, calibration
from simulations.dry_run import CostForecast, forecast_cost
from simulations.run import run

SMALL = ["data.synthetic.users=60", "data.synthetic.items=400", "data.synthetic.mean-history=20", "runtime.threads=1"]
CENTRAL = [
    *SMALL,
    "algorithm.rank=8",
    "privacy.mode=central",
    "privacy.epsilon=8",
    "privacy.delta=1e-3",
    "evaluation.baselines=fedavg",
    "evaluation.baseline-rounds=2",
]
STUDENTS = [*SMALL, "algorithm.name=fedmd", "algorithm.model.width=8", "num-server-rounds=2", "evaluation.baselines=[]"]


def planned(*settings: str) -> tuple[Config, CostForecast]:
    config = load(None, settings)
    return config, forecast_cost(config, federation(config))


def test_every_stage_and_every_baseline_has_its_seconds() -> None:
    config, found = planned(*SMALL, "algorithm.rank=8", "evaluation.baseline-rounds=1")
    assert set(found.seconds) == {"training", "teaching", "evaluation", *USUAL}
    assert all(seconds > 0 for seconds in found.seconds.values())
    assert found.total_seconds > sum(found.seconds.values())
    said = " ".join(found.lines(config))
    assert all(word in said for word in ("GB at most", "MB in the end", "centralised", "an evaluation"))


def test_a_long_training_is_foretold_from_its_first_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "ENOUGH", 0.05)
    steps = 10_000_000
    _, found = planned(
        *SMALL,
        "algorithm.model.family=linear",
        f"algorithm.distillation.steps={steps}",
        "algorithm.distillation.samples=10",
        f"algorithm.central.epochs={steps}",
        'evaluation.baselines=["centralised"]',
    )
    assert found.seconds["teaching"] > steps / 1e5
    assert found.seconds["centralised"] > steps / 1e5


def test_a_baseline_that_is_left_out_costs_nothing() -> None:
    _, found = planned(*SMALL, "algorithm.rank=8", 'evaluation.baselines=["fedavg"]', "evaluation.baseline-updates=10")
    assert found.seconds["fedavg"] == 0


@pytest.mark.parametrize("settings", [STUDENTS, CENTRAL], ids=["students", "ledgers"])
def test_bytes_and_disk_are_those_of_the_run(tmp_path: Path, settings: list[str]) -> None:
    found = planned(*settings)[1]
    config = load(None, [*settings, f"runtime.run-folder={json.dumps(str(tmp_path))}"])
    spent = run(config, RunFolder(tmp_path))["traffic"]
    render(tmp_path)
    real = spent["total-up-bytes-per-client"] + spent["total-down-bytes-per-client"]
    assert found.bytes_per_client == pytest.approx(real, rel=0.25)
    assert found.disk == pytest.approx(disk_usage(tmp_path), rel=0.25)
    assert found.disk <= found.disk_at_most
    assert not [*(tmp_path / "baselines").rglob("privacy.ledger*")]


def test_a_round_in_which_nobody_is_left_to_answer_costs_nothing() -> None:
    once, often = (
        planned(*SMALL, "algorithm.rank=8", "evaluation.baselines=[]", f"num-server-rounds={n}")[1] for n in (1, 5)
    )
    assert once.rounds == often.rounds == 1
    assert once.answers == often.answers == 54


def test_the_memory_of_ease_counts_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(None, SMALL)
    together = federation(config)
    monkeypatch.setattr(calibration, "resident_memory", lambda: 1000)
    assert calibration.fitting("ease", config, together, 0.0).memory == 1000 + 12 * together.fold.train.num_items**2
    monkeypatch.setattr(baselines, "room_for_arrays", lambda: 0)
    assert calibration.fitting("ease", config, together, 0.0).memory == 0


def test_the_memory_of_everyones_pairs_counts_where_the_catalogue_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(None, SMALL)
    together = federation(config)
    train = together.fold.train
    monkeypatch.setattr(protocol, "chosen_question", lambda setup, parameters: CoOccurrenceQuestion)
    monkeypatch.setattr(calibration, "resident_memory", lambda: 1000)
    small = calibration.fitting("centralised", config, together, 0.0).memory
    monkeypatch.setattr(pair_questions, "DENSE_INPUTS", 1)
    pairs = min(sum(n * (n + 1) / 2 for n in train.histories.lengths), train.num_items**2 / 2)
    large = calibration.fitting("centralised", config, together, 0.0).memory
    assert large == 1000 + int(4 * pair_models.FREQUENT_INPUTS**2 + pair_models.BYTES_PER_NUMBER * pairs) > small
