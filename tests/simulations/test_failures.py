"""A round, a baseline or a command whose clients all failed has no number."""

import errno
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from fedkd.cli.terminal import INTERRUPTED, application
from fedkd.errors import DivergedError, UserError
from fedkd.protocols.base import Protocol
from fedkd.protocols.fedavg import FedAvg
from fedkd.protocols.residual import Residual
from fedkd.runs import failures
from fedkd.runs.config import Config, load
from fedkd.runs.dry_simulation import DrySimulation
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from fedkd.training.client_states import StateStore
from server.requests import Requests
from server.strategy import Distillation
from simulations import run as runner
from simulations.grid import InProcessGrid
from simulations.simulate import simulate
from tests.simulations.test_run import SMALL

FEDAVG = [*SMALL[:3], *SMALL[6:], "algorithm.name=fedavg", "evaluation.baselines=[]", "num-server-rounds=2"]
TOO_FAST = ["algorithm.local.optimiser=sgd", "algorithm.local.learning-rate=1e8"]
SERVER_TOO_FAST = ["algorithm.server-optimiser=average", "algorithm.server-learning-rate=1e300"]
LARGE = [SERVER_TOO_FAST[0], "algorithm.server-learning-rate=1e37", "evaluation.every=0", "num-server-rounds=1"]
"""Numbers that the server can hold, and a device cannot."""


def command(out: Path, *settings: str) -> tuple[int, str]:
    app = application()
    app.command()(runner.main)
    conf = out.parent / "conf.toml"
    conf.write_text("")
    words = [str(conf), "--out", str(out), *(word for one in settings for word in ("--set", one))]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "more",
    [TOO_FAST, SERVER_TOO_FAST, [SERVER_TOO_FAST[0], "algorithm.server-learning-rate=1e37", "evaluation.every=0"]],
)
def test_a_model_that_diverged_is_one_line(tmp_path: Path, more: list[str]) -> None:
    code, text = command(tmp_path / "run", *FEDAVG, *more)
    assert code == 2
    said = text[text.index("error:") :]
    assert len(said.splitlines()) == 1
    assert "the model diverged" in said
    for key in ("algorithm.local.learning-rate", "algorithm.server-learning-rate"):
        assert key in said
    assert "ndcg" not in text
    assert not (tmp_path / "run" / "summary.json").exists()


def test_no_key_is_named_that_a_protocol_lacks() -> None:
    assert mended(Residual()) == "the model diverged: its scores are NaN"
    assert "central" not in mended(FedAvg())


def mended(protocol: Protocol) -> str:
    with pytest.raises(UserError) as error, failures.mending_divergence(protocol):
        raise DivergedError("its scores are NaN")
    return str(error.value)


def test_in_memory_too_nobody_answers_is_an_error() -> None:
    config = load(None, [*FEDAVG, *TOO_FAST])
    together = federation(config)
    with pytest.raises(UserError, match=r"algorithm\.local\.learning-rate"):
        list(DrySimulation(config, together, np.arange(together.partition.num_clients)).play())


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_baseline_whose_clients_failed_has_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StateStore, "_save_one", full)
    settings = [*FEDAVG, "evaluation.baselines=popularity,local-only", "num-server-rounds=1"]
    settings += ["evaluation.keep-baselines=true"]  # the others leave nothing on the disk
    code, text = command(tmp_path / "run", *settings)
    assert code == 1
    assert "local-only has no number: round 1 has no result" in text
    assert "none of 54 clients answered (54: node failed" in text
    summary = RunFolder(tmp_path / "run").summary()
    assert "local-only" not in summary["models"]
    assert {"popularity", "student"} <= set(summary["models"])
    monkeypatch.undo()
    again = runner.run(RunFolder(tmp_path / "run").config(), RunFolder(tmp_path / "run"))
    assert 0 < again["models"]["local-only"]["ndcg@20"]["mean"] < 1
    assert not again["failed"]


def test_a_full_disk_stops_a_run_and_room_lets_it_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [*SMALL, "evaluation.baselines=[]"]
    with monkeypatch.context() as patched:
        patched.setattr(StateStore, "_save_one", full)
        code, text = command(tmp_path / "run", *settings)
    assert code == 2
    assert "none of 54 clients answered" in text
    folder = RunFolder(tmp_path / "run")
    assert not folder.finished
    assert not folder.rounds()
    assert runner.run(folder.config(), folder)["clients"] == {"registered": 54, "answered": 54, "failed-answers": 0}


@pytest.mark.parametrize("name", ["rounds.jsonl", "checkpoint/state.safetensors", "summary.json"])
def test_a_file_that_finds_no_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for writer in ("append", "write_arrays", "write_json"):
        write = getattr(RunFolder, writer)

        def watched(self: RunFolder, which: str, content: Any, write: Callable[..., None] = write) -> None:
            if which == name:
                with monkeypatch.context() as patched:
                    patched.setattr("os.fsync", full)
                    write(self, which, content)
            write(self, which, content)

        monkeypatch.setattr(RunFolder, writer, watched)
    code, text = command(tmp_path / "run", *SMALL, "evaluation.baselines=[]")
    assert code == 2
    assert f"{Path(name).name} (No space left on device)" in text.replace("\n", "")
    assert not list((tmp_path / "run").rglob("*.new"))


def test_a_client_that_fails_twice_in_a_round_counts_once() -> None:
    counted = dict[str, int]()
    requests = Requests(None, lambda name, clients, amount: counted.update({name: counted.get(name, 0) + len(clients)}))  # type: ignore[arg-type]
    late, gone = (failures.Failure(reason) for reason in (failures.Missing.LATE, failures.Missing.NODE_FAILED))
    requests.fail(np.array([1, 2]), late)
    requests.fail(np.array([2, 3]), gone)
    assert requests.reasons == {late: 2, gone: 1}
    assert counted == {"failed": 3}
    assert failures.by_reason({"late": 2, "gone": 1}) == "2: late; 1: gone"


@pytest.mark.parametrize("more", [["algorithm.rank=80"], ["algorithm.name=iterated", "partition.public-fraction=0"]])
def test_a_run_that_is_refused_leaves_no_folder(tmp_path: Path, more: list[str]) -> None:
    small = [one for one in SMALL if not one.startswith("algorithm.")]
    code, text = command(tmp_path / "run", *small, *more, "evaluation.baselines=[]")
    assert code == 2
    assert "rank" in text or "needs public users" in text
    assert not (tmp_path / "run").exists()


def test_a_protocol_of_one_round_plays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("server.strategy.log", lambda level, text, *parts: said.append(text % parts))
    simulate(placed(tmp_path / "run", "num-server-rounds=5", "evaluation.every=0"))
    folder = RunFolder(tmp_path / "run")
    assert [line["round"] for line in folder.rounds()] == [1]
    assert folder.rounds()[0]["metrics"]["student.ndcg@20"] > 0
    assert "no client has more to contribute: the run ends after round 1 of 5" in said
    simulate(folder.config())
    assert [line["round"] for line in folder.rounds()] == [1]


def placed(folder: Path, *more: str) -> Config:
    return load(None, [*SMALL, *more, "evaluation.baselines=[]", f"runtime.run-folder={json.dumps(str(folder))}"])


def test_a_run_that_was_stopped_after_its_last_round_is_still_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("server.run_writer.RunWriter.finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            simulate(placed(tmp_path / "run"))
    simulate(placed(tmp_path / "run"))
    models = RunFolder(tmp_path / "run").summary()["models"]
    assert models["student"]["ndcg@20"]["mean"] > 0 < models["teacher"]["ndcg@20"]["mean"]


def test_a_round_without_anybody_to_ask_has_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Requests, "connected", np.zeros(0, np.int64))
    with pytest.raises(UserError, match=r"no client is connected after 0 s; start the clients, or wait longer"):
        simulate(placed(tmp_path / "run"))
    assert not RunFolder(tmp_path / "run").rounds()


def test_clients_that_are_away_for_a_moment_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, looks = InProcessGrid.get_node_ids, list[InProcessGrid]()

    def flickering(grid: InProcessGrid) -> Iterable[int]:
        looks.append(grid)
        return [] if len(looks) == 2 else there(grid)  # away when the second round begins

    monkeypatch.setattr(InProcessGrid, "get_node_ids", flickering)
    simulate(placed(tmp_path / "run", "fraction-train=0.5", "num-server-rounds=2", "runtime.wait-seconds=9"))
    assert all(line["answers"] for line in RunFolder(tmp_path / "run").rounds())
    assert len(looks) == 3


def test_another_configuration_does_not_relabel_a_run(tmp_path: Path) -> None:
    simulate(placed(tmp_path / "run"))
    with pytest.raises(UserError, match="holds another run: its seed is 0, and 5 is asked for"):
        simulate(placed(tmp_path / "run", "seed=5"))
    simulate(placed(tmp_path / "run", "runtime.cohort-size=7"))


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Distillation, "_collect", stops)
        code, text = command(tmp_path / "run", *SMALL)
    assert code == INTERRUPTED
    assert text.splitlines()[-1] == f"stopped; go on with python -m simulations.run --resume {tmp_path / 'run'}"
    monkeypatch.setattr("simulations.run.run", stops)
    assert command(tmp_path / "other", *SMALL)[1].endswith("stopped; the same command begins again\n")
