"""From a run to a service, from its feedback to an updated run: what is learnt, charged, refused and told."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from fedkd.cli.terminal import command_line
from fedkd.deployment.deployed import Deployed
from fedkd.deployment.export import export
from fedkd.errors import UserError
from fedkd.feedback.people import Line, People
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.events import total
from fedkd.privacy.ledger import Ledger
from fedkd.ragged import Ragged
from fedkd.report import render
from fedkd.runs.config import load
from fedkd.runs.folder import RunFolder
from fedkd.serving.app import application
from fedkd.serving.options import ServiceOptions
from server.update import main, update
from simulations.run import run
from simulations.withdraw import withdraw
from tests.deployment.runs import finished_run
from tests.simulations.test_run import config, simulated

CENTRAL = ("privacy.mode=central", "privacy.epsilon=4", "privacy.delta=1e-4", "partition.public-fraction=0.3")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("finished") / "run"
    run(config(folder, "evaluation.baselines=[]"), RunFolder(folder))
    return RunFolder(folder)


@pytest.fixture(scope="module")
def model(finished: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(finished.path, tmp_path_factory.mktemp("model"), "safetensors").path


def posted(model: Path, log: Path, told: Sequence[tuple[list[int], list[int]]]) -> Path:
    """The log of a service to which people told what they had and what they chose, by positions of items."""
    ids = Deployed.open(model).catalogue.ids
    with TestClient(application(ServiceOptions(folder=model, feedback=log))) as client:
        for history, chosen in told:
            shown = {"shown": ids[chosen].tolist() or ids[:1].tolist(), "chosen": ids[chosen].tolist()}
            assert client.post("/feedback", json={**shown, "history": ids[history].tolist()}).status_code == 200
    return log


def arrays(folder: Path) -> dict[str, np.ndarray]:
    return RunFolder(folder).read_arrays("checkpoint/state.safetensors")


def student(folder: Path) -> bytes:
    return (folder / "student.safetensors").read_bytes()


def invoked(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(command_line(main), [str(word) for word in words])
    return result.exit_code, " ".join(result.output.split())


def test_what_people_choose_moves_the_student_towards_it(finished: RunFolder, model: Path, tmp_path: Path) -> None:
    first, wanted = (int(item) for item in arrays(finished.path)["reference.panel"][[0, 30]])
    log = posted(model, tmp_path / "feedback.jsonl", [([first], [wanted])] * 40)
    code, said = invoked(finished.path, "--log", log, "--out", tmp_path / "new")
    assert code == 0, said
    assert "40 new people, 0 who went on" in said
    after = export(tmp_path / "new", tmp_path / "model", "onnx").path
    before, now = (dict(Deployed.open(place).lists([[first]], 79)[0]) for place in (model, after))
    assert sorted(now, key=now.get).index(wanted) > sorted(before, key=before.get).index(wanted)
    assert RunFolder(tmp_path / "new").summary()["feedback"] == {"people": 40, "lines": 40}
    assert "40 people of a service's log" in (after / "PRIVACY_CARD.md").read_text()


def test_the_sum_grows_by_exactly_what_the_people_would_answer(
    finished: RunFolder, model: Path, tmp_path: Path
) -> None:
    log = posted(model, tmp_path / "feedback.jsonl", [([1, 5], [7]), ([], [2, 3]), ([1, 5, 7], [9])])
    done = update(finished, log, tmp_path / "new")
    assert (done.new, done.lines) == (2, 3)  # the third line goes on where the first ended
    before, after = arrays(finished.path), arrays(tmp_path / "new")
    rows = Ragged.from_rows([np.array([1, 5, 7, 9]), np.array([2, 3])], np.int32)
    seen, level = rows.matrix(80, np.int64).toarray(), finished.config().algorithm.weights.of(rows.lengths)
    theirs = (seen[:, before["reference.values"]] * level[:, None]).T @ seen[:, before["reference.panel"]]
    assert np.array_equal(after["sum"] - before["sum"], theirs)


def test_a_log_counts_once_however_often_and_in_however_many_parts_it_comes(
    finished: RunFolder, model: Path, tmp_path: Path
) -> None:
    log = posted(model, tmp_path / "feedback.jsonl", [([1, 5], [7]), ([4], [6])])
    update(finished, log, tmp_path / "one")
    again = update(RunFolder(tmp_path / "one"), log, tmp_path / "again")
    assert (again.lines, again.new, again.went_on) == (0, 0, 0)
    assert student(tmp_path / "again") == student(tmp_path / "one")
    posted(model, log, [([1, 5, 7], [8])])
    later = update(RunFolder(tmp_path / "again"), log, tmp_path / "later")
    assert (later.lines, later.new, later.went_on) == (1, 0, 1)
    update(finished, log, tmp_path / "whole")
    assert np.array_equal(arrays(tmp_path / "later")["sum"], arrays(tmp_path / "whole")["sum"])
    assert student(tmp_path / "later") == student(tmp_path / "whole") != student(tmp_path / "one")
    with pytest.raises(UserError, match="withdraw from the run that it was made of"):
        withdraw(RunFolder(tmp_path / "later"), [0])


def test_an_updated_run_is_measured_as_any_other(finished: RunFolder, model: Path, tmp_path: Path) -> None:
    update(finished, posted(model, tmp_path / "log", [([1, 5], [7])]), tmp_path / "new")
    new = RunFolder(tmp_path / "new")
    assert render(new.path).exists()
    measured = new.summary()["models"]
    summary = run(new.config(), new)
    assert summary["models"]["student"]["ndcg@20"] == measured["student"]["ndcg@20"]
    assert summary["slices"]["student"]
    assert summary["feedback"]["people"] == 1


def test_lines_that_cannot_be_used_are_named_by_number_alone(finished: RunFolder, model: Path, tmp_path: Path) -> None:
    log = posted(model, tmp_path / "feedback.jsonl", [([1], [2])])
    good, known = log.read_text(), str(Deployed.open(model).catalogue.ids[0])
    bad = [
        '{"secret-',
        "[]",
        '{"shown": ["secret"], "chosen": ["secret"], "time": 1}',
        '{"shown": ["secret"], "chosen": ["other"]}',
    ]
    bad += [json.dumps({"shown": [known], "propensities": [0.5, 0.5], "time": 1}), '{"shown": [1], "time": "soon"}']
    log.write_text("\n".join(bad) + "\n" + good)
    code, said = invoked(finished.path, "--log", log, "--out", tmp_path / "new")
    assert code == 0, said
    assert "not a line that the service writes: 5, feedback.jsonl line 1, feedback.jsonl line 2," in said
    assert "ids that the catalogue does not have: 1, feedback.jsonl line 3" in said
    assert "1 new lines" in said
    log.write_text("\n".join(bad) + "\n")
    code, refusal = invoked(finished.path, "--log", log, "--out", tmp_path / "none")
    assert code == 2
    assert "no line that can be used" in refusal
    assert "secret" not in said + refusal
    assert not (tmp_path / "none").exists()


def test_propensities_change_nothing_and_this_is_said(finished: RunFolder, model: Path, tmp_path: Path) -> None:
    log = posted(model, tmp_path / "log", [([1, 5], [7]), ([4], [6])])
    plain = update(finished, log, tmp_path / "plain")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("".join(json.dumps({**line, "propensities": [0.01]}) + "\n" for line in lines))
    code, said = invoked(finished.path, "--log", log, "--out", tmp_path / "new")
    assert code == 0, said
    assert "propensities of 2 lines are not used" in said
    assert not plain.heard.remarks()
    assert student(tmp_path / "new") == student(tmp_path / "plain")
    assert "Propensities, places and what was shown in vain are not used" in invoked("--help")[1]


def test_the_older_half_of_a_log_is_read_first(finished: RunFolder, model: Path, tmp_path: Path) -> None:
    log = posted(model, tmp_path / "log", [([1, 5], [7])])
    log.rename(tmp_path / "log.old")
    posted(model, log, [([1, 5, 7], [9])])
    assert update(finished, log, tmp_path / "new").new == 1


def test_an_update_is_one_more_release_that_the_budget_must_allow(tmp_path: Path) -> None:
    simulated(tmp_path / "full", *CENTRAL)
    log = posted(tmp_path / "full", tmp_path / "log", [([1, 5], [7]), ([4], [6])])
    code, said = invoked(tmp_path / "full", "--log", log, "--out", tmp_path / "new")
    assert code == 2
    hint = said.split("--set ")[1]
    assert not (tmp_path / "new").exists()

    simulated(tmp_path / "roomy", *CENTRAL, hint)
    roomy = RunFolder(tmp_path / "roomy")
    update(roomy, log, tmp_path / "new")
    new = RunFolder(tmp_path / "new")
    ledger = Ledger(tmp_path / "roomy" / "privacy.ledger")
    [owner] = ledger.owners()
    charges = ledger.history(owner)
    assert len(charges) == 2
    spent = epsilon(total(charge.cost for charge in charges), 1e-4)
    assert new.summary()["privacy"]["epsilon"] == pytest.approx(spent)
    assert 4 < spent <= float(hint.split("=")[1])
    before, after = arrays(roomy.path), arrays(new.path)
    assert after["std"] == pytest.approx(before["std"] * 2**0.5)
    assert not np.array_equal(before["sum"], after["sum"])
    assert student(new.path) != student(roomy.path)

    update(roomy, log, tmp_path / "retried")  # the same release: the same bytes, and paid once
    assert student(tmp_path / "retried") == student(new.path)
    assert len(ledger.history(owner)) == 2
    posted(tmp_path / "full", log, [([1, 5, 7], [9])])
    assert update(new, log, tmp_path / "later").new == 0  # who is in the sum is not in another release
    posted(tmp_path / "full", log, [([11], [12])])
    with pytest.raises(UserError, match="nothing was updated"):
        update(new, log, tmp_path / "third")  # the new run spends from the same ledger


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        ((*CENTRAL, "privacy.mode=local"), "privacy.mode=central or none"),
        ((*CENTRAL, "privacy.mode=distributed"), "privacy.mode=central or none"),
        ((*CENTRAL, "privacy.unit=client"), "privacy.unit=user"),
    ],
)
def test_a_run_that_no_log_can_update_says_why(tmp_path: Path, settings: tuple[str, ...], mend: str) -> None:
    folder = RunFolder(finished_run(tmp_path / "run", settings))
    with pytest.raises(UserError, match=mend):
        update(folder, tmp_path / "log", tmp_path / "new")


def test_an_unfinished_run_and_a_missing_log_are_named(finished: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--feedback"):
        update(finished, tmp_path / "missing", tmp_path / "new")
    shutil.copytree(finished.path, tmp_path / "copy")
    (tmp_path / "copy" / "summary.json").unlink()
    with pytest.raises(UserError, match="--resume"):
        update(RunFolder(tmp_path / "copy"), tmp_path / "missing", tmp_path / "new")


def test_a_protocol_that_mixes_contributions_takes_in_nobody(finished: RunFolder, tmp_path: Path, model: Path) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    other = load(None, ["algorithm.name=fedavg"]).algorithm
    RunFolder(tmp_path / "run").write_config(finished.config().model_copy(update={"algorithm": other}))
    with pytest.raises(UserError, match="residual protocol"):
        update(RunFolder(tmp_path / "run"), posted(model, tmp_path / "log", [([1], [2])]), tmp_path / "new")


def test_people_are_told_apart_by_their_histories() -> None:
    lines = [Line(bytes([n]) * 32, *told) for n, told in enumerate([((), ()), ((), (1,)), ((), (1,)), ((1,), (2,))])]
    people = People().after(lines)
    assert sorted(people.histories) == [(1,), (1, 2)]
    assert People.of_arrays(people.arrays()) == people
    assert people.after(lines) == people
    assert People.of_arrays(People().arrays()) == People()
