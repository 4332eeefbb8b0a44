"""Clients that leave a run: what is subtracted, what cannot be, and what is said of each."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fedkd.cli.terminal import application
from fedkd.errors import UserError
from fedkd.runs.config import load
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from simulations.run import run
from simulations.simulate import simulate
from simulations.withdraw import clients_of, contributors, main, withdraw
from tests.simulations.test_run import SMALL, config, simulated


def told(*words: object) -> tuple[int, list[str]]:
    app = application()
    app.command()(main)
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, [line for line in result.output.splitlines() if line.startswith(("client", "error"))]


@pytest.fixture
def finished(tmp_path: Path) -> RunFolder:
    settings = config(tmp_path / "run", "evaluation.baselines=[]")
    run(settings, RunFolder(tmp_path / "run"))
    return RunFolder(tmp_path / "run")


def contents(folder: RunFolder) -> dict[str, bytes]:
    return {
        name: (folder.path / name).read_bytes()
        for name in ("checkpoint/state.safetensors", "config.toml", "summary.json", "rounds.jsonl")
    }


def test_who_withdraws_leaves_no_trace(tmp_path: Path) -> None:
    simulated(tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    before = folder.read_arrays("checkpoint/state.safetensors")
    simulate(withdraw(folder, [3, 5]))
    after = folder.read_arrays("checkpoint/state.safetensors")
    assert after["leaving"].nonzero()[0].tolist() == [3, 5]
    together = federation(folder.config())
    _, data = together.held_by(np.array([3, 5]))
    panel, weights = after["reference.panel"], folder.config().algorithm.weights
    seen = data.train.matrix(np.int64).toarray()
    level = weights.of(data.train.histories.lengths)
    theirs = (seen[:, after["reference.values"]] * level[:, None]).T @ seen[:, panel]
    assert np.array_equal(before["sum"] - after["sum"], theirs)


def test_a_protocol_that_mixes_contributions_refuses_a_withdrawal(tmp_path: Path) -> None:
    settings = load(None, [*SMALL[:3], "algorithm.name=fedavg", f"runtime.run-folder={json.dumps(str(tmp_path))}"])
    RunFolder.create(tmp_path, settings)
    simulate(settings)
    with pytest.raises(UserError, match="cannot separate contributions"):
        withdraw(RunFolder(tmp_path), [0])


def test_each_client_is_told_what_was_done(finished: RunFolder) -> None:
    shutil.rmtree(finished.path / "client-states" / "3")
    before = finished.read_arrays("checkpoint/state.safetensors")["sum"]
    code, lines = told(finished.path, 3, 17)
    assert code == 1
    assert lines[0].startswith("client 3: stays, and its contribution too: nothing was subtracted (1: what the client")
    assert lines[1:] == ["client 17: has left: its contribution was subtracted"]
    assert set(range(54)) - set(contributors(finished).tolist()) == {17}
    assert finished.rounds()[-1]["metrics"]["contributors"] == 53
    assert not np.array_equal(before, finished.read_arrays("checkpoint/state.safetensors")["sum"])


def test_a_client_left_for_good_is_not_subtracted_again(finished: RunFolder) -> None:
    assert told(finished.path, 17) == (0, ["client 17: has left: its contribution was subtracted"])
    rounds = len(finished.rounds())
    assert told(finished.path, 17) == (0, ["client 17: has left: nothing of it was in the sum"])
    assert len(finished.rounds()) == rounds


def test_where_nothing_can_be_subtracted_the_run_stays_as_it_was(finished: RunFolder) -> None:
    for client in (3, 17):
        shutil.rmtree(finished.path / "client-states" / str(client))
    before = contents(finished)
    code, lines = told(finished.path, 3, 17)
    assert code == 1
    assert [line.partition(",")[0] for line in lines] == ["client 3: stays", "client 17: stays"]
    assert contents(finished) == before


def test_a_withdrawal_that_is_stopped_changes_nothing(finished: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(finished)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("simulations.withdraw.run", stopped)
    assert told(finished.path, 3)[0] == 130
    assert contents(finished) == before


def test_users_leave_under_their_own_ids(finished: RunFolder, tmp_path: Path) -> None:
    together, names = federation(finished.config()), tmp_path / "leaving.txt"
    users = together.fold.train.users[together.partition.clients.take(np.array([5, 8])).values]
    names.write_text("\n".join(map(str, users)) + "\n")
    assert told(finished.path, "--users", names) == (
        0,
        [f"client {client}: has left: its contribution was subtracted" for client in (5, 8)],
    )
    assert set(range(54)) - set(contributors(finished).tolist()) == {5, 8}


def test_an_unknown_user_and_a_member_of_a_silo_are_named_by_their_line(tmp_path: Path) -> None:
    silos = load(None, [*SMALL, "partition.clients=silos", "partition.num-silos=6"])
    together, names = federation(silos), tmp_path / "leaving.txt"
    user = str(together.fold.train.users[together.private[0]])
    for text, says in ((user, "line 1: this user shares client 0 with"), (f"{user}x", "line 1: no private user")):
        names.write_text(text)
        with pytest.raises(UserError, match=says) as error:
            clients_of(names, together)
        assert user not in str(error.value)


@pytest.mark.parametrize(("words", "says"), [((99,), "numbered 0..53"), ((), "give the numbers")])
def test_who_is_nobody_is_a_mistake(finished: RunFolder, words: tuple[int, ...], says: str) -> None:
    code, lines = told(finished.path, *words)
    assert code == 2
    assert says in lines[0]
