import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from flwr.app import Array, ArrayRecord, Context, Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from typer.testing import CliRunner

from clients.app import app as client_app
from fedkd.errors import UserError
from fedkd.evaluation.rows import ROWS, USUAL
from fedkd.messages.types import Asks
from fedkd.models.arrays import model_arrays
from fedkd.runs.config import Config, flatten, load
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from server.app import app as server_app
from server.run_writer import RunWriter
from server.strategy import Distillation
from simulations import baselines
from simulations import run as runner
from simulations.baselines import unmade
from simulations.dry_run import forecast_cost
from simulations.grid import FIRST_NODE, InProcessGrid
from simulations.run import run, simulate
from simulations.terminal_summary import list_lines, remarks, split_remarks

SMALL = [
    "data.synthetic.users=60",
    "data.synthetic.items=80",
    "data.synthetic.mean-history=15",
    "algorithm.references=20",
    "algorithm.panel=60",
    "algorithm.rank=8",
    "runtime.threads=1",
    "runtime.wait-seconds=0",
]


def config(folder: Path, *more: str) -> Config:
    return load(None, [*SMALL, *more, f"runtime.run-folder={json.dumps(str(folder))}"])


def simulated(folder: Path, *more: str) -> dict[str, Any]:
    settings = config(folder, *more)
    RunFolder.create(folder, settings)
    simulate(settings)
    return RunFolder(folder).read_json("summary.json")


def metrics(summary: dict[str, Any]) -> dict[str, float]:
    return {name: value["mean"] for name, value in summary["models"]["student"].items() if isinstance(value, dict)}


def test_a_run_writes_everything_the_interface_names(tmp_path: Path) -> None:
    more = ("evaluation.baseline-rounds=1", "lists.steps=cold-users;cold-items;diverse")
    folder = RunFolder.create(tmp_path / "run", config(tmp_path / "run", *more))
    summary = run(folder.config(), folder)
    assert set(summary["models"]) == {row.name for row in ROWS if not row.by_name}
    for name in ("teacher", "student", "undistilled", "tuned"):
        row = summary["models"][name]
        assert row["flops"] > 0
        assert row["training-seconds"] > 0
        assert 0 < row["latency-ms"]["p50"] <= row["latency-ms"]["p95"]
        assert row["precision"] == ("float32" if name == "teacher" else "float16")
    assert set(summary["models"]["tuned"]["settings"]) == {"regularisation", "rank"}
    assert set(summary["distillation"]["of-teacher"]) == {"student", "undistilled", "tuned"}
    gained = summary["distillation"]["gain"]["undistilled"]["mean"]
    student, alone = (summary["models"][name]["ndcg@20"]["mean"] for name in ("student", "undistilled"))
    assert gained == pytest.approx(student - alone, abs=2e-3)  # devices have float16
    found = summary["lists"]
    assert set(found) == {"ndcg@20", "recall@20, tail", "novelty@10", "diversity@10", "coverage@10"}
    assert found["diversity@10"]["change"]["low"] > 0
    assert found["ndcg@20"]["after"] == pytest.approx(summary["models"]["listed"]["ndcg@20"]["mean"])
    assert list_lines(summary, folder.config())[1].startswith("  ndcg@20 ")
    for row in summary["models"].values():
        for metric in ("ndcg@10", "ndcg@20", "recall@10", "recall@20", "hr@10", "mrr@10"):
            assert row[metric]["low"] <= row[metric]["mean"] <= row[metric]["high"]
    assert summary["traffic"]["up-bytes-per-client-round"] > 0
    assert set(summary["speed"]) == {
        "seconds-per-round",
        "teaching-seconds-per-round",
        "client-rounds-per-second",
        "peak-memory-bytes",
    }
    assert summary["privacy"]["mode"] == "none"
    assert len(summary["data"]["fingerprint"]) == len(summary["split"]["fingerprint"]) == 16
    names = {path.name for path in folder.path.iterdir()}
    assert {"config.toml", "environment.json", "rounds.jsonl", "clients.parquet", "privacy.jsonl"} <= names
    assert {"teacher.safetensors", "student.safetensors"} <= names


def test_steps_that_lack_something_are_refused_before_the_first_round(tmp_path: Path) -> None:
    settings = config(tmp_path, "lists.steps=cold-users", "partition.public-fraction=0", "evaluation.baselines=[]")
    with pytest.raises(UserError, match=r"cold-users needs public users; set partition.public-fraction above 0"):
        RunWriter(RunFolder(tmp_path), settings).progress(federation(settings).setup(settings))


@pytest.mark.parametrize("more", [["runtime.cohort-size=1"], ["runtime.cohort-size=7", "runtime.workers=2"]])
def test_grouping_and_workers_do_not_matter(tmp_path: Path, more: list[str]) -> None:
    one, other = simulated(tmp_path / "one"), simulated(tmp_path / "other", *more)
    assert metrics(other) == pytest.approx(metrics(one), abs=1e-6)
    assert other["traffic"] == one["traffic"]
    sums = [RunFolder(tmp_path / name).read_arrays("checkpoint/state.safetensors")["sum"] for name in ("one", "other")]
    assert np.array_equal(*sums)


def test_clients_that_arrive_over_many_rounds_add_up_to_one_round(tmp_path: Path) -> None:
    one = simulated(tmp_path / "one")
    many = simulated(tmp_path / "many", "num-server-rounds=4", "fraction-train=0.25")
    assert metrics(many) == pytest.approx(metrics(one), abs=1e-6)
    assert many["clients"]["answered"] == one["clients"]["answered"] == 54


class Killed(Exception):
    pass


@pytest.mark.parametrize("protocol", ["residual", "fedavg"])
def test_a_killed_run_continues_to_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    more = ["num-server-rounds=3", "fraction-train=0.4"]
    if protocol == "fedavg":
        more += ["algorithm.name=fedavg"]
    settings = [*(SMALL if protocol == "residual" else SMALL[:3] + SMALL[6:]), *more]

    def built(folder: Path) -> Config:
        return load(None, [*settings, f"runtime.run-folder={json.dumps(str(folder))}"])

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    RunFolder.create(whole, built(whole))
    simulate(built(whole))
    RunFolder.create(cut, built(cut))
    collect = Distillation._collect

    def dies(self: Distillation, asks: Asks) -> Any:
        found = collect(self, asks)
        if asks.round == 2:  # clients have learnt and answered, and nothing of it was pooled
            raise Killed
        return found

    monkeypatch.setattr(Distillation, "_collect", dies)
    with pytest.raises(Killed):
        simulate(built(cut))
    monkeypatch.undo()
    simulate(built(cut))
    one, other = RunFolder(whole), RunFolder(cut)
    assert metrics(other.read_json("summary.json")) == pytest.approx(metrics(one.read_json("summary.json")), abs=1e-6)
    assert [line["round"] for line in other.lines("rounds.jsonl")] == [1, 2, 3]
    assert other.read_json("summary.json")["traffic"] == one.read_json("summary.json")["traffic"]


class FaultyGrid(InProcessGrid):
    """Every node misbehaves in its own way when it is asked to train; the last ones do not."""

    def deliver(self, message: Message) -> Message | None:
        node = message.metadata.dst_node_id - FIRST_NODE
        if message.metadata.message_type != "train" or node > 4:
            return super().deliver(message)
        if node == 0:
            return None
        if node == 1:
            return Message(Error(ErrorCode.NODE_UNAVAILABLE, "gone"), reply_to=message)
        reply = super().deliver(message)
        assert reply is not None
        if node == 2:
            reply.content["answer"]["reference"] = "0" * 16
        elif node == 3:
            payload = Array("uint8", (3,), "fedkd.packed", b"abc")
            reply.content["answer.data"] = ArrayRecord({"packed": payload})
        else:
            return Message(RecordDict(), reply_to=message)
        return reply


def test_bad_nodes_cost_their_answers_and_are_counted(tmp_path: Path) -> None:
    settings = config(tmp_path, "partition.clients=silos", "partition.num-silos=8")
    folder = RunFolder.create(tmp_path, settings)
    grid = FaultyGrid(client_app, flatten(settings), num_nodes=8)
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=flatten(settings))
    server_app(grid, context)
    (line,) = folder.lines("rounds.jsonl")
    assert line["answers"] == 3
    assert sum(line["failures"].values()) == 5
    reasons = " ".join(line["failures"])
    for word in ("no answer in time", "node unavailable", "reference", "bytes", "cannot be read"):
        assert word in reasons
    assert folder.read_json("summary.json")["clients"]["failed-answers"] == 5


def test_who_was_lost_contributes_in_a_later_round(tmp_path: Path) -> None:
    settings = config(tmp_path, "partition.clients=silos", "partition.num-silos=8", "num-server-rounds=2")
    RunFolder.create(tmp_path, settings)
    grid = FaultyGrid(client_app, flatten(settings), num_nodes=8)
    deliver = grid.deliver
    first: set[int] = set()

    def once(message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        if message.metadata.message_type == "train" and node in first:
            return InProcessGrid.deliver(grid, message)
        if message.metadata.message_type == "train":
            first.add(node)
        return deliver(message)

    grid.deliver = once
    server_app(grid, Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=flatten(settings)))
    whole = simulated(tmp_path / "whole", "partition.clients=silos", "partition.num-silos=8")
    assert metrics(RunFolder(tmp_path).read_json("summary.json")) == pytest.approx(metrics(whole), abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["missing.toml"], "missing.toml"),
        ([], "give a configuration"),
        (["CONF", "--set", "sede=1"], "did you mean seed"),
        (["CONF", "--set", "partition.public-fraction=1"], "public-fraction"),
        (["CONF", "--set", "data.source=table"], "data.path"),
        (["CONF", "--set", "split.kind=official"], "split.kind"),
        (["CONF", "--set", "partition.clients=silos", "--set", "partition.num-silos=9999"], "num-silos"),
        (["--resume", "nowhere"], "config.toml"),
        (["--resume", "nowhere", "--dry-run"], "no --resume"),
        (["--resume", "nowhere", "--forecast"], "no --resume"),
        (["--resume", "x" * 5000], "File name too long"),
        (["CONF", "--set", "runtime.server-data=/tmp"], "run of a real server"),
    ],
)
def test_a_users_mistake_ends_with_its_mend_and_code_2(
    arguments: list[str], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    conf = str(Path(__file__).resolve().parents[2] / "simulations" / "conf" / "quickstart.toml")
    application = typer.Typer()
    application.command()(runner.main)
    given = [conf if argument == "CONF" else argument for argument in arguments]
    out = [] if "--resume" in given else ["--out", str(tmp_path / "run")]
    result = CliRunner().invoke(application, [*given, *out])
    assert result.exit_code == 2
    assert word in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    application = typer.Typer()
    application.command()(runner.main)
    conf = str(Path(__file__).resolve().parents[2] / "simulations" / "conf" / "quickstart.toml")
    result = CliRunner().invoke(application, [conf, "--out", str(tmp_path / "file" / "run")])
    assert result.exit_code == 2
    assert "cannot use" in result.output


def test_the_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    simulated(tmp_path)
    checkpoint = tmp_path / "checkpoint" / "state.safetensors"
    with pytest.raises(UserError, match=r"holds another run: its data\.synthetic\.users is 60, and 70 is asked for"):
        simulate(config(tmp_path, "data.synthetic.users=70"))
    checkpoint.write_bytes((tmp_path / "teacher.safetensors").read_bytes())
    with pytest.raises(UserError, match="was not written by this run"):
        simulate(config(tmp_path))


def test_a_finished_run_is_not_overwritten(tmp_path: Path) -> None:
    settings = config(tmp_path)
    RunFolder.create(tmp_path, settings)
    with pytest.raises(ValueError, match="--resume"):
        RunFolder.create(tmp_path, settings)


def test_the_teacher_is_better_than_the_public_users_alone(tmp_path: Path) -> None:
    place = f"runtime.run-folder={json.dumps(str(tmp_path))}"
    settings = load(None, [place, "evaluation.baselines=popularity,public-teacher"])
    folder = RunFolder(tmp_path)
    models = run(settings, folder)["models"]
    assert federation(settings).partition.num_clients == 540
    assert models["student"]["ndcg@20"]["low"] > models["public-teacher"]["ndcg@20"]["high"]
    assert models["public-teacher"]["ndcg@20"]["low"] > models["popularity"]["ndcg@20"]["high"]


def test_a_plan_predicts_the_bytes_that_a_run_then_spends(tmp_path: Path) -> None:
    settings = config(tmp_path / "run")
    predicted = forecast_cost(settings, federation(settings))
    spent = simulated(tmp_path / "run")["traffic"]
    assert predicted.up == spent["up-bytes-per-client-round"]
    assert predicted.down == pytest.approx(spent["down-bytes-per-client-round"], abs=1)
    assert predicted.catalogue == spent["catalogue-bytes-per-client"]
    assert predicted.clients == predicted.asked == 54
    assert any("can read" in line for line in predicted.lines(settings))


@pytest.mark.parametrize(
    ("privacy", "says"),
    [
        ({"epsilon": None}, []),
        ({"epsilon": 4.0}, ["outside epsilon"]),
        ({"epsilon": 0.0}, ["outside epsilon", "Nothing was released"]),
    ],
)
def test_a_protected_runs_table_is_not_left_alone(privacy: dict[str, Any], says: list[str]) -> None:
    told = remarks(privacy)
    assert len(told) == len(says)
    assert all(part in line for part, line in zip(says, told, strict=True))


def test_a_simulation_says_that_real_clients_would_refuse_so_small_a_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("server.app.log", lambda level, text, *parts: said.append(text % parts))
    for minimum, warned in ((2, False), (10_000, True)):
        said.clear()
        simulated(tmp_path / str(minimum), f"privacy.minimum-cohort={minimum}")
        assert any("real clients would answer no question" in line for line in said) == warned


def test_a_finished_run_keeps_its_teacher_once_and_goes_on_from_it(tmp_path: Path) -> None:
    simulated(tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    assert not any(name.startswith("teacher.") for name in folder.read_arrays("checkpoint/state.safetensors"))
    settings = folder.config()
    state = RunWriter(folder, settings).progress(federation(settings).setup(settings)).state
    teacher = settings.algorithm.teacher(state)
    assert teacher is not None
    assert np.array_equal(model_arrays(teacher)["weights"], folder.read_arrays("teacher.safetensors")["weights"])


def test_a_baseline_leaves_no_models_on_the_disk_unless_it_is_told_to(tmp_path: Path) -> None:
    sizes = {}
    for keep in ("false", "true"):
        settings = config(
            tmp_path / keep, 'evaluation.baselines=["local-only","fedavg"]', f"evaluation.keep-baselines={keep}"
        )
        summary = run(settings, RunFolder(tmp_path / keep))
        rows = {name: summary["models"][name]["ndcg@20"] for name in ("local-only", "fedavg")}
        places = [tmp_path / keep / "baselines" / name for name in rows]
        written = sum(path.stat().st_size for place in places for path in place.rglob("*") if path.is_file())
        sizes[keep] = (rows, written, any(place.rglob("*.safetensors") for place in places))
    assert sizes["false"][0] == sizes["true"][0]
    students = 54 * 80 * 8 * 4
    assert sizes["false"][1] < students < sizes["true"][1]
    again = RunFolder(tmp_path / "false")  # a resumed run reads the rows that are there
    assert run(again.config(), again)["models"]["fedavg"]["ndcg@20"] == sizes["false"][0]["fedavg"]


def test_a_baseline_of_too_much_work_is_left_out_with_what_mends_it(tmp_path: Path) -> None:
    settings = config(tmp_path / "run", 'evaluation.baselines=["fedavg"]', "evaluation.baseline-updates=1000")
    reason = run(settings, RunFolder(tmp_path / "run"))["left-out"]["fedavg"]
    mend = re.search(r"set it to (\S+), or lower evaluation.baseline-rounds", reason)
    assert mend is not None
    more = config(tmp_path / "run", 'evaluation.baselines=["fedavg"]', f"evaluation.baseline-updates={mend[1]}")
    assert unmade("fedavg", more, federation(more)) == ""


def test_a_student_of_a_large_catalogue_is_tuned_only_where_somebody_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = config(tmp_path, f"evaluation.baselines={json.dumps(USUAL)}")
    together = federation(usual)
    assert unmade("tuned", usual, together) == ""
    monkeypatch.setattr("simulations.baselines.LARGE", together.fold.train.num_items)
    assert "name it in evaluation.baselines to have it" in unmade("tuned", usual, together)
    asked = config(tmp_path, 'evaluation.baselines=["ease","tuned"]')
    assert unmade("tuned", asked, together) == ""


def test_ease_that_does_not_fit_the_memory_is_made_in_another_form_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(config(tmp_path / "a", 'evaluation.baselines=["ease"]'), RunFolder(tmp_path / "a"))
    monkeypatch.setattr(baselines, "room_for_arrays", lambda: 1000)
    small = run(config(tmp_path / "b", 'evaluation.baselines=["ease"]'), RunFolder(tmp_path / "b"))
    assert whole["notes"] == {}
    assert "strongest directions" in small["notes"]["ease"]
    assert small["models"]["ease"]["ndcg@20"]["mean"] == pytest.approx(
        whole["models"]["ease"]["ndcg@20"]["mean"], abs=0.02
    )


def test_the_summary_counts_the_memory_of_the_baselines_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulations.run.peak_memory", lambda: 123)
    settings = config(tmp_path / "run", 'evaluation.baselines=["popularity"]')
    assert run(settings, RunFolder(tmp_path / "run"))["speed"]["peak-memory-bytes"] == 123


def test_a_run_on_cold_items_names_the_command_that_ranks_them(tmp_path: Path) -> None:
    (told,) = split_remarks(load(None, ["split.kind=cold-items"]), tmp_path)
    assert told.endswith(f"python -m simulations.cold_items {tmp_path}")
    assert not split_remarks(load(None), tmp_path)
