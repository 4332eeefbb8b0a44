"""What noisy students promise, against another accountant, and the settings that are refused."""

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant

from fedkd.cohort.cohort import Cohort
from fedkd.config import load
from fedkd.errors import UserError
from fedkd.federation import federation, student_noise
from fedkd.privacy.student import StudentPrivacy
from fedkd.protocols import private
from fedkd.runs import RunFolder
from simulations.run import simulate

NOISED = ["algorithm.name=fedavg", "algorithm.local.optimiser=sgd", "privacy.student.epsilon=4"]


@pytest.mark.parametrize(
    ("epsilon", "rate", "steps", "rounds"), [(4.0, 0.2, 20, 1), (1.0, 0.1, 20, 5), (2.0, 1.0, 3, 2)]
)
def test_the_noise_keeps_to_the_budget_by_another_accountant_and_wastes_little(
    epsilon: float, rate: float, steps: int, rounds: int
) -> None:
    options = StudentPrivacy(epsilon=epsilon, rate=rate, steps=steps)
    step = PoissonSampledDpEvent(rate, GaussianDpEvent(options.multiplier(rounds)))
    exact = PLDAccountant().compose(SelfComposedDpEvent(step, steps * rounds)).get_epsilon(options.delta)
    assert 0.97 * epsilon <= exact <= epsilon * (1 + 1e-4)
    assert exact * (1 - 1e-3) <= options.spent(rounds, rounds) <= epsilon


def test_epsilon_grows_with_the_rounds_and_is_infinite_without_noise() -> None:
    options = StudentPrivacy(epsilon=3.0, rate=0.1, steps=10)
    spent = [options.spent(rounds, 3) for rounds in range(4)]
    assert spent[0] == 0 < spent[1] < spent[2] < spent[3] <= 3.0
    assert math.isinf(StudentPrivacy().spent(1, 1))
    assert StudentPrivacy().multiplier(3) == 0
    assert StudentPrivacy().statement(3) == ""


def test_the_accountant_leaves_logging_as_it_was() -> None:
    before = list(logging.getLogger().handlers)
    StudentPrivacy(epsilon=3.0, rate=0.1, steps=10).multiplier(1)
    assert logging.getLogger().handlers == before


@pytest.mark.parametrize("wrong", ["algorithm.name=residual", "algorithm.name=fedavg", "algorithm.name=ptf-fedrec"])
def test_students_that_take_no_noise_are_refused_when_the_configuration_is_read(wrong: str) -> None:
    with pytest.raises(UserError, match=r"privacy\.student\.epsilon"):
        load(None, [wrong, "privacy.student.epsilon=4"])


def test_an_impossible_budget_is_an_error_that_names_the_key() -> None:
    with pytest.raises(UserError, match=r"privacy\.student\.epsilon"):
        load(None, ["algorithm.name=iterated", "privacy.student.epsilon=1e-9"])


@pytest.mark.parametrize("protocol", ["fedavg", "iterated", "fedmd"])
def test_whole_runs_train_noisy_students_and_say_so(tmp_path: Path, protocol: str) -> None:
    small = ["data.synthetic.users=40", "data.synthetic.items=40", "data.synthetic.mean-history=9"]
    more = ["runtime.wait-seconds=0", "evaluation.baselines=[]", "num-server-rounds=1"]
    config = load(None, [*small, f"algorithm.name={protocol}", *NOISED[1:], *more, f'runtime.run-folder="{tmp_path}"'])
    noise = student_noise(config)
    assert noise is not None
    assert (noise.clip, noise.rate, noise.steps, noise.divisor) == (1.0, 0.2, 20, 0.2)
    folder = RunFolder.create(tmp_path, config)
    simulate(config)
    summary = folder.read_json("summary.json")
    assert "epsilon 4 at delta 1e-05 for one user's history" in summary["privacy"]["statement"]
    assert summary["clients"]["failed-answers"] == 0


def test_what_is_shown_of_a_history_tells_nothing_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The masks of a noisy student come from no seed that a server knows."""
    shown: list[bytes] = []

    def watched(*arguments: Any) -> None:
        shown.append(arguments[2].columns["shown"].values.tobytes())

    monkeypatch.setattr(private, "train_with_noise", watched)
    small = ["data.synthetic.users=40", "data.synthetic.items=40", "data.synthetic.mean-history=9"]
    config = load(None, [*small, *NOISED])
    together = federation(config)
    clients = np.arange(5)
    owner, data = together.held_by(clients)
    cohort = Cohort(clients, owner, data, 0, ({},) * 5, student_noise(config))
    model = config.algorithm.blank_student(40)  # type: ignore[union-attr]
    for _ in range(2):
        private.train_privately(model, {}, cohort, config.algorithm.local, 1)  # type: ignore[union-attr]
    assert shown[0] != shown[1]
