"""What noisy students promise, against another accountant, and the settings that are refused."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant
from dp_accounting.privacy_accountant import NeighboringRelation

from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.privacy import accounting, student_options
from fedkd.privacy.student_options import ADJACENCY, HIDDEN, StudentPrivacy, Unit
from fedkd.runs.config import load
from fedkd.runs.federation import federation, student_noise
from fedkd.runs.folder import RunFolder
from fedkd.training import local
from fedkd.training.cohort import Cohort
from simulations.run import simulate

NOISED = ["algorithm.name=fedavg", "algorithm.local.optimiser=sgd", "privacy.student.epsilon=4"]


UNITS: tuple[Unit, ...] = ("user", "interaction")

RELATION = {"user": NeighboringRelation.ADD_OR_REMOVE_ONE, "interaction": NeighboringRelation.REPLACE_ONE}

SCHEDULES = [(4.0, 0.2, 20, 1), (1.0, 0.1, 20, 5), (2.0, 1.0, 3, 2), (8.0, 0.2, 20, 5), (0.1, 0.02, 50, 10)]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("epsilon", "rate", "steps", "rounds"), SCHEDULES)
def test_the_noise_keeps_to_the_budget_by_another_accountant_and_wastes_little(
    unit: Unit, epsilon: float, rate: float, steps: int, rounds: int
) -> None:
    options = StudentPrivacy(epsilon=epsilon, unit=unit, rate=rate, steps=steps)
    step = PoissonSampledDpEvent(rate, GaussianDpEvent(options.multiplier(rounds)))
    accountant = PLDAccountant(RELATION[unit], value_discretization_interval=1e-4 * min(1.0, epsilon))
    exact = accountant.compose(SelfComposedDpEvent(step, steps * rounds)).get_epsilon(options.delta)
    waste = 0.02 * epsilon if unit == "interaction" else max(0.03 * epsilon, 0.012)  # Opacus is precise to 0.01
    assert epsilon - waste <= exact <= epsilon * (1 + 1e-4)
    charged = accounting.epsilon(options.cost(rounds).times(rounds), options.delta)
    assert exact * (1 - 1e-3) <= charged <= epsilon * 1.01


@pytest.mark.slow
def test_an_interaction_takes_more_noise_than_a_user_and_less_than_twice_as_much() -> None:
    for rate in (0.05, 0.7):
        user, interaction = (StudentPrivacy(epsilon=4.0, rate=rate, unit=unit).multiplier(3) for unit in UNITS)
        assert 1.05 * user < interaction < 1.97 * user
    whole = [StudentPrivacy(epsilon=4.0, rate=1.0, unit=unit).multiplier(3) for unit in UNITS]
    assert whole[1] == pytest.approx(2 * whole[0], rel=0.02)


@pytest.mark.parametrize("unit", UNITS)
def test_epsilon_grows_with_the_rounds_and_noise_needs_a_budget(unit: Unit) -> None:
    options = StudentPrivacy(epsilon=3.0, unit=unit, rate=0.1, steps=10)
    spent = [accounting.epsilon(options.cost(3).times(rounds), options.delta) for rounds in (1, 2, 3)]
    assert 0 < spent[0] < spent[1] < spent[2] <= 3.0 * 1.01
    assert StudentPrivacy(unit=unit).multiplier(3) == 0
    assert StudentPrivacy(unit=unit).statement(3) == ""
    with pytest.raises(UserError, match="have no cost"):
        StudentPrivacy(unit=unit).cost(3)


def test_statements_name_unit_and_adjacency() -> None:
    words = {unit: StudentPrivacy(epsilon=3.0, unit=unit, rate=0.1, steps=10).statement(3) for unit in UNITS}
    assert "for one interaction, or any other change inside one history (replace-one, secret" in words["interaction"]
    assert "It is no secret that a client takes part, nor with how many histories. Every" in words["interaction"]
    assert "for one user's whole history, present or not (add-remove, secret" in words["user"]
    assert "unit interaction, replace-one, Poisson rate 0.2" in StudentPrivacy(epsilon=3.0).mechanism(1)


def test_the_accountant_leaves_logging_as_it_was() -> None:
    before = list(logging.getLogger().handlers)
    StudentPrivacy(epsilon=3.0, unit="user", rate=0.1, steps=10).multiplier(1)
    assert logging.getLogger().handlers == before


@pytest.mark.parametrize(
    "wrong",
    [
        ["algorithm.name=residual"],
        ["algorithm.name=fedavg", "algorithm.local.optimiser=adam"],
        ["algorithm.name=ptf-fedrec"],
    ],
)
def test_students_that_take_no_noise_are_refused_when_the_configuration_is_read(wrong: list[str]) -> None:
    with pytest.raises(UserError, match=r"privacy\.student\.epsilon"):
        load(None, [*wrong, "privacy.student.epsilon=4"])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("privacy.student.epsilon=1e-9", r"privacy\.student\.epsilon: input should be greater than or equal to 0\.01"),
        ("privacy.student.unit=item", r"privacy\.student\.unit: input should be 'interaction' or 'user', got 'item'"),
        ("privacy.student.units=user", r"privacy\.student\.units: no such key; did you mean privacy\.student\.unit\?"),
    ],
)
def test_wrong_settings_are_errors_that_name_the_key_and_what_is_allowed(wrong: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load(None, ["algorithm.name=iterated", wrong])


@pytest.mark.parametrize("unit", UNITS)
def test_a_budget_that_no_noise_keeps_names_what_to_change(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: float) -> float:
        raise RuntimeError("no such noise")

    monkeypatch.setattr(student_options, "noise_multiplier", fail)
    monkeypatch.setattr(student_options, "_by_opacus", fail)
    with pytest.raises(UserError, match=r"raise privacy\.student\.epsilon, or lower rate, steps or rounds"):
        StudentPrivacy(epsilon=3.21, unit=unit).multiplier(7)


@pytest.mark.parametrize(("protocol", "unit"), [("fedavg", "user"), ("iterated", "interaction"), ("fedmd", "user")])
def test_whole_runs_train_noisy_students_and_say_so(tmp_path: Path, protocol: str, unit: Unit) -> None:
    small = ["data.synthetic.users=40", "data.synthetic.items=40", "data.synthetic.mean-history=9"]
    more = ["runtime.wait-seconds=0", "runtime.threads=1", "evaluation.baselines=[]", "num-server-rounds=1"]
    more += [f"privacy.student.unit={unit}", f'runtime.run-folder="{tmp_path}"']
    config = load(None, [*small, f"algorithm.name={protocol}", *NOISED[1:], *more])
    noise = student_noise(config)
    assert noise is not None
    assert (noise.clip, noise.rate, noise.steps, noise.divisor) == (1.0, 0.2, 20, 0.2)
    folder = RunFolder.create(tmp_path, config)
    simulate(config)
    summary = folder.read_json("summary.json")
    assert f"epsilon 4 at delta 1e-05 for {HIDDEN[unit]}" in summary["privacy"]["statement"]
    assert HIDDEN[unit] in folder.lines("privacy.jsonl")[0]["statement"]
    assert "can read that client's history" not in summary["privacy"]["statement"]
    told = summary["privacy"]["students"]
    assert (told["unit"], told["adjacency"], told["delta"]) == (unit, ADJACENCY[unit], 1e-5)
    assert 3.9 < told["epsilon"] < 4 * 1.01
    assert summary["clients"]["failed-answers"] == 0


def test_what_is_shown_of_a_history_tells_nothing_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The masks of a noisy student come from no seed that a server knows."""
    shown: list[bytes] = []

    def watched(*arguments: Any) -> None:
        shown.append(arguments[2].columns["shown"].values.tobytes())

    monkeypatch.setattr(local, "train_with_noise", watched)
    small = ["data.synthetic.users=40", "data.synthetic.items=40", "data.synthetic.mean-history=9"]
    config = load(None, [*small, *NOISED])
    together = federation(config)
    clients = np.arange(5)
    owner, data = together.held_by(clients)
    cohort = Cohort(clients, owner, data, 0, ({},) * 5, student_noise(config))
    model = config.algorithm.blank_student(Catalogue.numbered(40))  # type: ignore[union-attr]
    for _ in range(2):
        local.train_locally(model, {}, cohort, config.algorithm.local, 1)  # type: ignore[union-attr]
    assert shown[0] != shown[1]
