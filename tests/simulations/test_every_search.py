"""The same search serves the settings of every protocol, a user's own too."""

from pathlib import Path

import pytest

from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.table import AnyModel
from fedkd.protocols.fedavg import FedAvg
from fedkd.protocols.table import PROTOCOLS
from fedkd.runs.config import Config, changed, load
from simulations.search import Search, space, tune
from simulations.verdicts import ended
from tests.protocols.test_conformance import ALL

TINY = (
    "data.synthetic.users=24",
    "data.synthetic.items=25",
    "data.synthetic.mean-history=10",
    "partition.public-fraction=0.3",
    "runtime.threads=1",
    'evaluation.baselines=["popularity"]',
    'gate.requirements=["hr@10 >= 0.999"]',
)


QUICKER = {"residual": {"references": 0, "panel": 0}, "iterated": {"solver_steps": 2}}


class Own(FedAvg):
    """A protocol of one's own, with a setting of its own."""

    name: str = "tests.simulations.test_every_search:Own"
    patience: int = 3
    model: AnyModel = AutoencoderConfig(width=4)


def tiny(label: str) -> Config:
    config = load(None, [*TINY, f"algorithm.name={label}"])
    quick = ALL.get(label, config.algorithm).model_copy(update=QUICKER.get(label))
    return config.model_copy(update={"algorithm": quick})


@pytest.mark.parametrize("label", [*PROTOCOLS.names, "tests.simulations.test_every_search:Own"])
def test_two_trials_of_every_protocol_are_made_and_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    monkeypatch.setattr("fedkd.gate.search.REACH", 1.3)  # so that no trial takes long
    monkeypatch.setattr("fedkd.evaluation.cost.REPETITIONS", 1)
    config = tiny(label)
    search = Search(config, space(config), 2, float("inf"), tmp_path)
    assert search.space
    assert tune(search, 1) == "trials"
    first, second = ended(search.study().trials)
    assert first.params != second.params
    for trial in (first, second):
        assert trial.user_attrs["checks"][0]["users"] > 5
        assert changed(config, [f"{key}={value}" for key, value in trial.params.items()]) != config
