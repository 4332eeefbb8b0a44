"""Students that the server distils: the parts of histories that they see, and what they learn from their teacher."""

import numpy as np
import pytest
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.distillation.held_out import held_out
from fedkd.distillation.part_targets import PartTargets
from fedkd.distillation.server_student import ServerDistillation, server_student
from fedkd.losses.softmax import soft_label_divergence
from fedkd.models.base import ModelConfig, Recommender, padded_histories
from fedkd.models.cnn import CNNConfig
from fedkd.models.decayed_linear import DecayedLinear
from fedkd.models.ease import EASE
from fedkd.models.gru import GRUConfig
from fedkd.models.linear import LinearConfig
from fedkd.ragged import Ragged

ITEMS = 12
CATALOGUE = Catalogue.numbered(ITEMS)
WEIGHTS = np.random.default_rng(5).normal(size=(ITEMS, ITEMS))
NEXT = DecayedLinear(WEIGHTS, np.array([0.5]))
NOBODY = Ragged.from_rows([], np.int32)
HOW = ServerDistillation(samples=150, steps=120, batch_size=16, learning_rate=0.02)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def histories(users: int, seed: int = 1) -> Ragged:
    draws = np.random.default_rng(seed)
    return Ragged.from_rows([draws.permutation(ITEMS)[: draws.integers(2, 8)] for _ in range(users)], np.int32)


def targets(ordered: bool, window: int | None = None, parts: int = 3) -> PartTargets:
    return PartTargets(NEXT, 2.0, histories(40), parts, ordered, window, rng())


def listed(history: torch.Tensor) -> list[int]:
    return [int(item) for item in history if item < ITEMS]


@pytest.mark.parametrize("ordered", [True, False])
def test_a_batch_holds_parts_and_the_teachers_logits_of_them(ordered: bool) -> None:
    examples, rows = targets(ordered), np.arange(40)
    batch = examples.batch(rows, ITEMS)
    found = [listed(row) for row in batch["shown"]]
    for row, whole in enumerate(found):
        known = examples.histories[row].tolist()
        assert (whole == known[: len(whole)]) if ordered else (set(whole) <= set(known))
        for part in range(3):
            column = int(batch["places"][row, part])
            seen = listed(batch["seen"][3 * row + part])
            assert seen == listed(batch["shown"][row, : column + 1])
            assert seen
            alone = NEXT(padded_histories(Ragged.from_rows([seen], np.int32), ITEMS))[0]
            torch.testing.assert_close(batch["teacher"][3 * row + part], 2 * alone)
        assert listed(batch["seen"][3 * row]) == whole
    assert {1, 7} <= {len(row) for row in found}
    assert ordered or found != [examples.histories[row].tolist()[: len(whole)] for row, whole in enumerate(found)]


def test_parts_end_where_the_student_looks() -> None:
    batch = targets(ordered=True, window=2, parts=30).batch(np.arange(40), ITEMS)
    last = batch["shown"].shape[1] - 1
    assert set((last - batch["places"]).flatten().tolist()) == {0, 1}


def divergence(student: Recommender, teacher: Recommender, scale: float) -> float:
    shown = padded_histories(histories(200, seed=9), ITEMS)
    with torch.no_grad():
        return float(soft_label_divergence(student(shown), teacher(shown) * scale, 1.0).mean())


@pytest.mark.parametrize(
    ("model", "teacher"),
    [(CNNConfig(width=8), NEXT), (GRUConfig(width=8), NEXT), (LinearConfig(width=8), EASE(WEIGHTS))],
)
def test_a_student_comes_to_speak_like_its_teacher(model: ModelConfig, teacher: Recommender) -> None:
    student, scale = model.build(CATALOGUE, 0), 1 / WEIGHTS.std()
    before = divergence(student, teacher, scale)
    server_student(student, teacher, NOBODY, np.ones(ITEMS), teacher is NEXT, HOW, rng())
    assert divergence(student, teacher, scale) < 0.5 * before


@pytest.mark.parametrize(("share", "often"), [(0.0, 1), (0.3, 3), (0.6, 9)])
def test_public_histories_have_their_share(share: float, often: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Ragged] = []
    monkeypatch.setattr("fedkd.distillation.server_student.distil", lambda student, t, *rest: seen.append(t.histories))
    public, how = histories(25), HOW.model_copy(update={"public_share": share})
    learnt = Ragged.concatenate([public, Ragged.from_rows([[]], np.int32)])
    server_student(LinearConfig(width=2).build(CATALOGUE, 0), NEXT, learnt, np.ones(ITEMS), True, how, rng())
    (rows,) = seen
    assert len(rows) == how.samples + often * 25  # the nearest to the share; each history at least once
    assert [row.tolist() for row in rows][how.samples :] == [row.tolist() for row in public] * often


def test_hard_labels_of_public_users_have_the_last_word() -> None:
    public = Ragged.from_rows([[0, 1], [2, 3]] * 20, np.int32)
    how = HOW.model_copy(update={"public_steps": 150, "steps": 20})
    student = LinearConfig(width=8).build(CATALOGUE, 0)
    server_student(student, EASE(WEIGHTS), public, np.ones(ITEMS), True, how, rng())
    scores = student(torch.tensor([[0], [2]]))
    assert scores.topk(2).indices.tolist()[0].count(1) + scores.topk(2).indices.tolist()[1].count(3) == 2


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="soft-label loss"):
        ServerDistillation(soft_label_loss="l2")


def test_training_stops_by_public_users_who_are_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    public, student = histories(25), LinearConfig(width=4).build(CATALOGUE, 0)
    monkeypatch.setattr("fedkd.distillation.server_student.LOOK", 5)
    how = HOW.model_copy(update={"patience": 2, "steps": 1000, "learning_rate": 0.05})
    server_student(
        student, EASE(WEIGHTS), public, np.ones(ITEMS), False, how, rng(), lambda model, quality: looks.append(quality)
    )
    assert len(looks) < 200
    assert len(looks) == looks.index(max(looks)) + 3  # the best one and two more
    assert held_out(public, rng())[1](student) >= 0


def test_few_public_users_hold_nobody_out() -> None:
    looks: list[float] = []
    how = HOW.model_copy(update={"patience": 1, "steps": 50})
    student = LinearConfig(width=2).build(CATALOGUE, 0)
    server_student(student, NEXT, histories(4), np.ones(ITEMS), True, how, rng(), lambda *look: looks.append(1.0))
    assert not looks
