"""Exported folders: every student in every format computes the same, and all that belongs to it is there."""

import csv
import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import sparse

from fedkd.deployment import formats, optional, parity
from fedkd.deployment.compression.table import compressed, step
from fedkd.deployment.deployed import Deployed
from fedkd.deployment.export import Exported, export
from fedkd.deployment.folder import ExportFolder
from fedkd.deployment.formats import FORMATS
from fedkd.deployment.students import student_of_run
from fedkd.errors import UserError
from fedkd.lists.adjustment import Adjustment
from fedkd.models.base import Recommender, score
from fedkd.models.cnn import CNNConfig
from fedkd.models.decayed_linear import DecayedLinear, SparseDecayed
from fedkd.models.ease import EASE
from fedkd.models.linear import LowRank
from fedkd.models.popularity import Popularity
from fedkd.models.table import MODELS
from fedkd.models.wide_deep import WideDeep
from fedkd.models.woodbury import WoodburyEASE
from fedkd.ragged import Ragged
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from tests.deployment.runs import SMALL, catalogue, finished_run, seeded

HISTORIES = Ragged.from_rows([[], [0, 3], range(0, 40, 3)], np.int64)
TRAINED = (*SMALL[:3], "algorithm.name=fedavg", "algorithm.model.width=16")


def scores(path: Path) -> NDArray[np.float32]:
    return Deployed.open(path).model.score(HISTORIES)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.mark.parametrize("family", MODELS.names)
def test_every_family_is_exported_to_onnx(tmp_path: Path, family: str) -> None:
    length = (
        (f"algorithm.model.length={4 if family == 'gru' else 9}",) if family not in ("linear", "autoencoder") else ()
    )
    if family == "transformer":
        length += ("algorithm.model.blocks=1",)
    run = finished_run(tmp_path / "run", (*TRAINED, f"algorithm.model.family={family}", *length))
    done = export(run, tmp_path / "out", "onnx", [step("int8")])
    whole = scores(run)
    assert done.parity.program <= 1e-5
    assert 0 < done.parity.compression < 0.2 * np.abs(whole).max()
    assert np.abs(scores(tmp_path / "out") - whole).max() <= 0.2 * np.abs(whole).max()


@pytest.mark.parametrize("kind", ["onnx", "safetensors"])
def test_what_becomes_of_scores_goes_with_the_student(tmp_path: Path, kind: str) -> None:
    steps = "lists.steps=cold-users:strength=2;diverse:weight=0.5"
    run = finished_run(tmp_path / "run", (*SMALL, steps))
    config, items, _ = student_of_run(run)
    public = replace(federation(config).fold.train.take(np.arange(4)), catalogue=items)
    adjustment = Adjustment.learn(config.lists.read, public)
    RunFolder(run).write_arrays("lists.safetensors", adjustment.arrays())
    export(run, tmp_path / "out", kind)
    found = [Deployed.open(path).lists([[], [0, 3], [5]], 10) for path in (run, tmp_path / "out")]
    assert [[item for item, _ in row] for row in found[0]] == [[item for item, _ in row] for row in found[1]]
    adjusted = Deployed.open(run)
    plain = replace(adjusted, adjustment=Adjustment()).lists([[], [0, 3], [5]], 10)
    assert [item for item, _ in adjusted.similar(5, 10)] == [item for item, _ in plain[2]]
    assert [[item for item, _ in row] for row in found[0]] != [[item for item, _ in row] for row in plain]
    assert all(first[1] >= second[1] for row in found[0] for first, second in pairwise(row))
    assert "cold-users:strength=2" in (tmp_path / "out" / "MODEL_CARD.md").read_text()


def other_students() -> dict[str, Recommender]:
    weights = sparse.random_array((80, 40), density=0.3, format="csr", rng=np.random.default_rng(0))
    return {
        "sparse": SparseDecayed(weights, np.array([0.0, 1.0])),
        "decayed": DecayedLinear(weights.toarray(), np.array([0.0, 1.0])),
        "ease": EASE(seeded((40, 40))),
        "woodbury": WoodburyEASE(0.1 * seeded((5, 40)), np.ones(40)),
        "wide": WideDeep(SparseDecayed(weights, np.array([0.0, 1.0])), CNNConfig().build(catalogue(), 0), 2.0),
    }


@pytest.mark.parametrize("kind", other_students())
def test_students_that_are_written_down_are_exported(tmp_path: Path, kind: str) -> None:
    model = other_students()[kind]
    settings = (*SMALL, "algorithm.model.family=cnn", "algorithm.wide=true") if kind == "wide" else SMALL
    run = finished_run(tmp_path / "run", settings, model)
    steps = [] if kind == "woodbury" else [step("int8")]
    export(run, tmp_path / "out", "onnx", steps)
    expected = score(model, HISTORIES)
    np.testing.assert_allclose(
        scores(tmp_path / "out"), expected, atol=(0.03 if steps else 1e-5) * np.abs(expected).max()
    )


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("steps", [["pruned:kept=0.6", "int8"], ["low-rank:rank=8", "int4"]])
def test_every_format_computes_the_same(tmp_path: Path, run: Path, name: str, steps: list[str]) -> None:
    done = export(run, tmp_path / "out", name, [step(text) for text in steps])
    assert done.parity.program <= 1e-6 * done.parity.largest_score
    assert done.parity.compression > 0
    small = compressed(student_of_run(run)[2], [step(text) for text in steps])
    np.testing.assert_allclose(scores(tmp_path / "out"), score(small, HISTORIES), atol=1e-5)


class Twice(Recommender):
    def __init__(self, model: Recommender) -> None:
        super().__init__(model.num_items)
        self.model = model

    def hidden(self, history: torch.Tensor) -> torch.Tensor:
        return self.model.hidden(history)

    def forward(self, history: torch.Tensor) -> torch.Tensor:
        return 2 * self.model(history)


class Twisted(Twice):
    def forward(self, history: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(torch.diag_embed(self.model(history))).real


def test_what_a_format_has_no_words_for_is_refused() -> None:
    with pytest.raises(UserError, match=r"class Twisted cannot be exported to ONNX.*--format safetensors"):
        formats.onnx_bytes(Twisted(LowRank.from_factors(seeded((9, 2)), seeded((9, 2)))))


def test_packed_weights_stay_small_in_the_file(tmp_path: Path) -> None:
    settings = (*SMALL[:3], "algorithm.name=fedavg", "algorithm.model.width=150")
    run = finished_run(tmp_path / "run", settings)
    packed = {text: export(run, tmp_path / "out", "onnx", [step(text)]).size for text in ("int8", "int4")}
    assert packed["int8"].after < 0.55 * packed["int8"].before
    assert packed["int4"].after < packed["int8"].after - 2500


def test_tables_of_eight_bits_leave_as_such_in_every_format_and_score_the_same(tmp_path: Path) -> None:
    settings = (*TRAINED[:-1], "algorithm.model.width=150")
    full = finished_run(tmp_path / "full", settings)
    run = finished_run(tmp_path / "run", (*settings, "algorithm.model.items.kind=8-bit"))
    whole = scores(run)
    for name in FORMATS:
        done = export(run, tmp_path / name, name)
        assert done.parity.program <= 1e-6 * done.parity.largest_score
        np.testing.assert_allclose(scores(tmp_path / name), whole, atol=1e-5)
        assert name == "torch" or done.size.after < 0.5 * export(full, tmp_path / "other", name).size.after
    assert export(run, tmp_path / "again", "safetensors", [step("int8:group=150")]).parity.compression < 1e-5


def test_a_popularity_that_is_traced_keeps_its_input(tmp_path: Path) -> None:
    model = Popularity(np.arange(40))
    (tmp_path / "x.onnx").write_bytes(formats.onnx_bytes(model))
    assert formats.history_length(model) is None


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(run, tmp_path_factory.mktemp("exports") / "out", "onnx", [step("int8")])


def test_lists_and_quality_are_compared_where_the_data_are_at_hand(exported: Exported) -> None:
    found = exported.parity
    assert found.real
    assert found.histories == 36
    assert found.agreement is not None
    assert 0.8 < found.agreement <= 1
    assert found.lost is not None
    assert abs(found.lost) < 0.2


def test_without_the_data_random_histories_are_compared(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: object) -> None:
        raise UserError("/a/path/of/mine does not exist")

    monkeypatch.setattr(parity, "federation", gone)
    found = export(run, tmp_path / "out").parity
    assert (found.real, found.agreement, found.lost) == (False, None, None)
    assert "cannot be read here" in found.without
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert "random histories" in card
    assert "/a/path" not in card + (tmp_path / "out" / "manifest.json").read_text()


def test_a_program_that_computes_something_else_is_not_written(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "torch", ("model.pt", lambda model: formats.torchscript_bytes(Twice(model))))
    with pytest.raises(UserError, match="a fault of the exporter"):
        export(run, tmp_path / "out", "torch")
    assert not (tmp_path / "out").exists()


def test_the_folder_holds_all_that_belongs_to_the_model(exported: Exported, run: Path) -> None:
    manifest = json.loads((exported.path / "manifest.json").read_text())
    assert {path.name for path in exported.path.iterdir()} == {*manifest["files"], "manifest.json"}
    assert manifest["history"] == {
        "items": 40,
        "length": None,
        "padding": "40 on the left",
        "order": "oldest first",
        "type": "int64",
        "masked": "items of the history are not recommended",
    }
    rows = list(csv.DictReader((exported.path / "items.csv").read_text().splitlines()))
    assert [rows[3][name] for name in ("position", "title", "categories")] == ["3", "Matrix, The (1999)", "Odd"]
    assert [row["id"] for row in rows] == catalogue().ids.tolist()
    assert str(run) not in "".join(path.read_text(errors="replace") for path in exported.path.iterdir())


def test_the_model_card_says_data_split_quality_use_and_limits(exported: Exported) -> None:
    card = (exported.path / "MODEL_CARD.md").read_text()
    for words in (
        "40 users, 40 items, 400 interactions; 4 users are public",
        "Split: ratio; measured on the test part",
        "| **Federated student** (this model) | 0.4000 ±0.0200 | 0.4000 ±0.0200 |",
        "| history 10-19 | 0.4000 ±0.0200 |",
        "Made smaller by: int8 (group 64)",
        "## Intended use",
        "## Limits",
        "NDCG@20 lost",
    ):
        assert words in card, words


def test_the_privacy_card_of_an_open_run_promises_nothing(exported: Exported) -> None:
    card = (exported.path / "PRIVACY_CARD.md").read_text()
    assert "**There is none.**" in card
    assert "answers are not noised" in card
    assert "| Server | adds | Sees" in card


def test_the_cards_of_a_protected_run_say_its_terms(tmp_path: Path) -> None:
    settings = (*SMALL, "privacy.mode=central", "privacy.epsilon=4", "privacy.delta=1e-3")
    terms = {"mode": "central", "epsilon": 3.5, "epsilon-planned": 4.0, "delta": 1e-3, "unit": "user"}
    terms |= {"adjacency": "add-remove", "sampling": "no amplification", "statement": "A statement."}
    gate = {"decision": "met", "part": "validation", "checks": [{"requirement": "epsilon <= 4", "decision": "met"}]}
    run = finished_run(tmp_path / "run", settings, summary={"privacy": terms, "gate": gate})
    export(run, tmp_path / "out")
    card = (tmp_path / "out" / "PRIVACY_CARD.md").read_text()
    for words in ("A statement.", "one user", "3.5 spent of 4 planned", "| 0.001 |", "add-remove", "no amplification"):
        assert words in card, words
    assert "judged on the validation part: **met**" in (tmp_path / "out" / "MODEL_CARD.md").read_text()


def test_what_has_no_student_for_everybody_is_refused(tmp_path: Path, run: Path) -> None:
    with pytest.raises(UserError, match="is not a run's folder"):
        export(tmp_path / "nothing", tmp_path / "out")
    (run.parent / "own").mkdir()
    for name in ("config.toml", "summary.json", "catalogue.safetensors", "environment.json"):
        (run.parent / "own" / name).write_bytes((run / name).read_bytes())
    with pytest.raises(UserError, match="every client keeps a student of its own"):
        export(run.parent / "own", tmp_path / "out")
    (run.parent / "own" / "summary.json").unlink()
    with pytest.raises(UserError, match="--resume"):
        export(run.parent / "own", tmp_path / "out")
    with pytest.raises(UserError, match="did you mean onnx"):
        export(run, tmp_path / "out", "onxx")


def test_a_damaged_student_is_named(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", TRAINED)
    other = finished_run(tmp_path / "other", (*TRAINED[:-1], "algorithm.model.width=8"))
    (run / "student.safetensors").write_bytes((other / "student.safetensors").read_bytes())
    with pytest.raises(UserError, match=r"student\.safetensors does not hold the student of algorithm fedavg"):
        export(run, tmp_path / "out")


def test_a_package_that_is_missing_is_named_with_the_mend(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(optional.importlib, "import_module", missing)
    with pytest.raises(UserError, match=r"needs onnx, which is not installed; pip install 'fedkd\[serve\]'"):
        export(run, tmp_path / "out")


def test_a_folder_of_something_else_is_not_written_over(tmp_path: Path, run: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="holds no exported model"):
        export(run, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_an_export_replaces_an_older_one_and_its_files(tmp_path: Path, run: Path) -> None:
    export(run, tmp_path / "out", "safetensors")
    first = ExportFolder.read(tmp_path / "out").version
    export(run, tmp_path / "out", "torch")
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert ExportFolder.read(tmp_path / "out").version != first


@pytest.mark.parametrize("damage", ["model", "manifest", "schema", "outside", "gone"])
def test_a_damaged_folder_is_refused(
    tmp_path: Path, exported: Exported, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedkd.deployment.folder.PAUSE", 0.0)
    folder = shutil.copytree(exported.path, tmp_path / "out")
    manifest = json.loads((folder / "manifest.json").read_text())
    if damage == "model":
        (folder / "model.onnx").write_bytes(b"other")
    elif damage == "gone":
        (folder / "items.csv").unlink()
    else:
        manifest |= {"schema": 2} if damage == "schema" else {}
        manifest["files"] |= {"../x": ""} if damage == "outside" else {}
        (folder / "manifest.json").write_text("{" if damage == "manifest" else json.dumps(manifest))
    with pytest.raises(UserError, match="export the model again"):
        Deployed.open(folder)
