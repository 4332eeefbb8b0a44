"""The search for settings that pass the gate, with runs whose result is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fedkd.cli.terminal import command_line
from fedkd.errors import UserError
from fedkd.gate.judgement import decision, judge
from fedkd.gate.search import Range
from fedkd.runs.config import Config, load
from fedkd.runs.folder import RunFolder
from simulations import search as searching
from simulations.gate import described
from simulations.public_tuning import of_public_users
from simulations.tune import main
from tests.gate.test_judgement import Known
from tests.simulations.test_run import SMALL, config

Quality = Callable[[Config], float]
SEARCH = 'gate.search=["algorithm.rank from 2 to 40 log","algorithm.regularisation from 50 to 2000 log"]'


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Replace runs by students that reach .01 per rank, and no more than .3, in every user."""
    made: list[Config] = []

    def run(config: Config, folder: RunFolder, watch: object) -> dict[str, Any]:
        made.append(config)
        reached = min(0.3, 0.01 * config.algorithm.rank)  # type: ignore[union-attr]
        known = Known({("student", "ndcg@10", ""): np.full(50, reached)})
        checks = judge(config.gate.read, known, config.gate.confidence)
        return {"gate": {"compression": "", "decision": str(decision(checks)), "checks": list(map(described, checks))}}

    monkeypatch.setattr(searching, "run", run)
    return made


def tuned(out: Path, *settings: str, trials: int = 40) -> Any:
    given = [f"--set={each}" for each in (*SMALL, SEARCH, *settings)]
    conf = out.parent / "empty.toml"
    conf.write_text("")
    command = [str(conf), *given, f"--trials={trials}", f"--out={out}"]
    return CliRunner().invoke(command_line(main), command)


def test_a_setting_that_passes_is_found_and_written(tmp_path: Path, runs: list[Config]) -> None:
    done = tuned(tmp_path / "out", 'gate.requirements=["ndcg@10 >= 0.25"]')
    assert done.exit_code == 0, done.output
    found = load(tmp_path / "out" / "tuned.toml")
    assert 25 <= found.algorithm.rank <= 40  # type: ignore[union-attr]
    assert found.evaluation.target == "test"
    assert {each.evaluation.target for each in runs} == {"validation"}  # the test part is never looked at
    assert {each.gate.confidence for each in runs} == {1 - 0.05 / 40}  # the best of forty must not pass by luck
    before = len(runs)
    assert tuned(tmp_path / "out", 'gate.requirements=["ndcg@10 >= 0.25"]').exit_code == 0
    assert len(runs) == before  # the same command goes on, and nothing was left to do


def test_what_no_setting_reaches_is_said_within_twenty_trials(tmp_path: Path, runs: list[Config]) -> None:
    done = tuned(tmp_path / "out", 'gate.requirements=["ndcg@10 >= 0.5"]')
    assert done.exit_code == 1
    assert "no setting passes, as far as the search can tell" in done.output
    assert "nearest: --set algorithm.rank=" in done.output
    assert len(runs) <= 20
    assert not (tmp_path / "out" / "tuned.toml").exists()


def test_a_student_that_is_too_large_is_not_trained(tmp_path: Path, runs: list[Config]) -> None:
    small = 'gate.requirements=["ndcg@10 >= 0.25","bytes <= 3200"]'
    tuned(tmp_path / "out", small, "gate.compression=[]", trials=12)  # 2 * 80 * 2 bytes a rank
    assert all(each.algorithm.rank <= 10 for each in runs)  # type: ignore[union-attr]
    assert not any((tmp_path / "out" / f"trial-{number}" / "config.toml").exists() for number in range(12))
    runs.clear()
    tuned(tmp_path / "packed", small, 'gate.compression=["int4"]', trials=12)  # a quarter of that, and the scales
    assert 10 < max(each.algorithm.rank for each in runs) <= 32  # type: ignore[union-attr]


def test_what_is_not_measured_ends_the_search(tmp_path: Path, runs: list[Config]) -> None:
    done = tuned(tmp_path / "out", 'gate.requirements=["ndcg@20 >= 0.25"]')
    assert done.exit_code == 2
    assert "does not measure: ndcg@20 >= 0.25" in " ".join(done.output.split())
    assert "set gate.requirements" in tuned(tmp_path / "other").output


def test_under_protection_trials_use_public_users_alone(tmp_path: Path) -> None:
    protected = ("privacy.mode=central", "privacy.epsilon=4", "privacy.delta=1e-5", "partition.public-fraction=0.4")
    protected = (*protected, "evaluation.target=validation")
    wanted = 'gate.requirements=["epsilon <= 8","hr@10 >= 0.1"]'
    said, public = of_public_users(config(tmp_path / "run", *protected, wanted), tmp_path)
    assert "public users alone" in said
    assert not public.privacy.mechanism.active
    assert len(public.data.load().interactions.users) == 24
    assert public.gate.requirements == ("hr@10 >= 0.1",)  # the budget is planned, and trials have none
    for text, mend in (("epsilon <= 2", "set it to 2 or less"), ("epsilon <= 8", "add a requirement")):
        with pytest.raises(UserError, match=mend):
            of_public_users(config(tmp_path / "run", *protected, f'gate.requirements=["{text}"]'), tmp_path)
    said, same = of_public_users(given := config(tmp_path / "run"), tmp_path)
    assert same is given
    assert "nothing is charged" in said


def test_the_frontier_of_what_is_possible_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Students of which the larger are the better, and none is both small and good enough."""

    def run(config: Config, folder: RunFolder, watch: object) -> dict[str, Any]:
        rank = config.algorithm.rank  # type: ignore[union-attr]
        known = Known({("student", "ndcg@10", ""): np.full(50, 0.01 * rank)}, {("student", "parameters"): 160.0 * rank})
        checks = judge(config.gate.read, known, config.gate.confidence)
        told = {"decision": str(decision(checks)), "checks": list(map(described, checks)), "compression": "int8"}
        return {"gate": told}

    monkeypatch.setattr(searching, "run", run)
    done = tuned(tmp_path / "out", 'gate.requirements=["ndcg@10 >= 0.3","parameters >= 3e9"]', trials=20)
    assert done.exit_code == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert "no setting passes, as far as the search can tell" in page
    frontier = page[page.index("The frontier") : page.index("How the search went")]
    assert frontier.count('<th scope="row">') == 1  # the largest is the best in both
    assert "gate.compression" in frontier
    assert "nearest: --set algorithm.rank=" in done.output


def test_a_field_says_what_is_searched_of_it() -> None:
    keys = {each.key: each for each in searching.space(load(None))}
    assert keys["algorithm.rank"] == Range("algorithm.rank", 6, 160, log=True, whole=True)
    assert not any(key.startswith(("algorithm.central", "algorithm.distillation")) for key in keys)
    network = {each.key for each in searching.space(load(None, ["algorithm.model.family=cnn"]))}
    assert "algorithm.distillation.learning-rate" in network
    taught = {each.key for each in searching.space(load(None, ["algorithm.name=bidirectional"]))}
    assert not any(key.endswith((".positions", ".target", ".calibration")) for key in taught)
