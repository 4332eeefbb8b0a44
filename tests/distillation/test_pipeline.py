"""The three phases: that each learns, what lessons contain, and what a watch gets."""

import math

import numpy as np
import pytest
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.distillation.features import Projection
from fedkd.distillation.pipeline import (
    DistilOptions,
    Lessons,
    PipelineOptions,
    distil,
    give_lessons,
    optimise,
    pretrain,
    run_pipeline,
    sub_sampled,
)
from fedkd.errors import UserError
from fedkd.losses.functions import LossWeights
from fedkd.models.base import Recommender, padded_histories, score
from fedkd.models.cnn import CNNConfig
from fedkd.models.ease import fit_ease
from fedkd.models.linear import LinearConfig, LowRank
from fedkd.models.table import MODELS
from fedkd.ragged import Ragged
from fedkd.training.central import Progress, TrainingOptions, Watch, train

CLUSTERS, CLUSTER_SIZE = 4, 6
ITEMS = CLUSTERS * CLUSTER_SIZE
CATALOGUE = Catalogue.numbered(ITEMS)


def histories(users: int = 60) -> Ragged:
    rng = np.random.default_rng(0)
    tastes = rng.choice(CLUSTERS, users)
    return Ragged.from_rows([t * CLUSTER_SIZE + rng.choice(CLUSTER_SIZE, 4, replace=False) for t in tastes], np.int32)


def interactions(rows: Ragged) -> Interactions:
    return Interactions(np.arange(len(rows)).astype(str), rows, CATALOGUE)


def model(family: str, width: int = 8) -> Recommender:
    return MODELS.find(family).model_validate({"width": width}).build(CATALOGUE, 0)


def distance(teacher: Recommender, student: Recommender, rows: Ragged, scale: float) -> float:
    """Return the mean total variation between the two softmaxes over unseen items, by a loop over users."""
    total = 0.0
    for ours, theirs, history in zip(score(student, rows), score(teacher, rows) * scale, rows, strict=True):
        unseen = np.setdiff1d(np.arange(ITEMS), history)
        p, q = (np.exp(s[unseen]) / np.exp(s[unseen]).sum() for s in (ours, theirs))
        total += float(np.abs(p - q).sum()) / 2
    return total / len(rows)


@pytest.mark.parametrize("family", ["linear", "autoencoder", "cnn"])
def test_a_distilled_student_comes_to_speak_like_its_teacher(family: str) -> None:
    rows = histories()
    teacher, student = fit_ease(interactions(rows), 5.0), model(family)
    options = DistilOptions(teacher_scale=10.0, training=TrainingOptions(steps=200, learning_rate=0.02))
    before = distance(teacher, student, rows, 10.0)
    rng = np.random.default_rng(0)
    distil(student, give_lessons(teacher, rows, options, 0, rng), options, rng)
    assert distance(teacher, student, rows, 10.0) < 0.25 * before


def test_lessons_contain_the_teachers_scores_of_every_view() -> None:
    rows = histories(10)
    teacher = fit_ease(interactions(rows), 5.0)
    options = DistilOptions(teacher_scale=3.0, training=TrainingOptions(visible=0.5))
    lessons = give_lessons(teacher, rows, options, 2, np.random.default_rng(0))
    assert len(lessons) == len(lessons.targets) == 30
    np.testing.assert_allclose(lessons.scores, 3 * score(teacher, lessons.histories), rtol=1e-6)
    for row in range(30):
        assert lessons.targets[row].tolist() == rows[row % 10].tolist()
        assert set(lessons.histories[row]) <= set(rows[row % 10])
    assert lessons.histories.lengths[10:].mean() < 4
    assert lessons.features is None


def test_sub_sampling_keeps_the_stated_share_in_order() -> None:
    rows = Ragged.from_rows([np.arange(5000)], np.int32)
    kept = sub_sampled(rows, 0.3, np.random.default_rng(0))[0]
    assert abs(len(kept) / 5000 - 0.3) < 0.03
    assert (np.diff(kept) > 0).all()
    assert sub_sampled(rows, 1.0, np.random.default_rng(0)) is rows


@pytest.mark.parametrize("feature_loss", ["cross-entropy", "mse"])
@pytest.mark.parametrize("layer", [None, 1])
def test_features_alone_teach_a_student(feature_loss: str, layer: int | None) -> None:
    rows = histories()
    teacher = CNNConfig(width=12, channels=(32, 64), length=20).build(CATALOGUE, 1)
    student = CNNConfig(width=8, channels=(16, 32), length=20).build(CATALOGUE, 2)
    options = DistilOptions.model_validate(
        {
            "weights": {"soft": 0, "feature": 1},
            "feature-loss": feature_loss,
            "layer": layer,
            "training": {"steps": 80},
        }
    )
    lessons = give_lessons(teacher, rows, options, 0, np.random.default_rng(0))
    assert lessons.features is not None
    assert lessons.features.shape == (60, 1, 64 if layer is None else 32)
    head = student.state_dict()["head"].clone()
    losses: list[float] = []
    distil(student, lessons, options, np.random.default_rng(0), Watch(1, report=lambda p: losses.append(p.loss)))
    assert losses[-1] < losses[0]
    assert torch.equal(student.state_dict()["head"], head)


def test_features_of_a_layer_are_the_mean_over_real_items() -> None:
    cnn = CNNConfig(width=4, length=20).build(CATALOGUE, 0)
    padded = padded_histories(Ragged.from_rows([[1, 2, 3], [4]], np.int32), ITEMS)
    table = cnn.state_dict()["embedding"]
    expected = torch.stack([table[[1, 2, 3]].mean(0), table[4]])
    torch.testing.assert_close(cnn.features(padded, 0)[:, 0], expected)
    torch.testing.assert_close(cnn.features(padded)[:, 0], cnn.hidden(padded))


@pytest.mark.parametrize(("family", "layer"), [("linear", 1), ("cnn", 3), ("cnn", -1)])
def test_a_layer_that_does_not_exist_is_refused(family: str, layer: int) -> None:
    with pytest.raises(UserError, match=f"no layer {layer}"):
        model(family).features(torch.zeros(1, 3, dtype=torch.int64), layer)


def test_projections_are_seeded() -> None:
    assert torch.equal(Projection(3, 5, 1).weight, Projection(3, 5, 1).weight)
    assert Projection(3, 5, 1)(torch.ones(2, 1, 3)).shape == (2, 1, 5)


def test_hard_labels_inside_distillation_use_the_whole_history() -> None:
    rows = Ragged.from_rows([[0, 1, 2, 3]], np.int32)
    lessons = Lessons(Ragged.from_rows([[0]], np.int32), np.zeros((1, ITEMS), np.float32), rows)
    options = DistilOptions(weights=LossWeights(soft=0.0, hard=1.0), training=TrainingOptions(steps=200))
    student = model("linear")
    distil(student, lessons, options, np.random.default_rng(0))
    best = np.argsort(-score(student, lessons.histories)[0])[:4]
    assert sorted(best.tolist()) == [0, 1, 2, 3]


def test_the_best_state_is_kept_and_progress_is_reported() -> None:
    seen: list[Progress] = []
    qualities = iter([0.1, 0.5, 0.2])
    states: list[torch.Tensor] = []

    def evaluate(student: Recommender) -> float:
        assert not student.training
        states.append(student.state_dict()["encoder.weight"].clone())
        return next(qualities)

    student = model("linear")
    best = optimise(
        student, histories(), TrainingOptions(steps=25), np.random.default_rng(0), Watch(10, evaluate, seen.append)
    )
    assert best == 0.5
    assert torch.equal(student.state_dict()["encoder.weight"], states[1])
    assert [(p.phase, p.step, p.steps, p.quality) for p in seen] == [
        ("optimise", 10, 25, 0.1),
        ("optimise", 20, 25, 0.5),
        ("optimise", 25, 25, 0.2),
    ]
    assert all(math.isfinite(p.loss) for p in seen)


@pytest.mark.parametrize("rows", [Ragged.from_rows([], np.int32), histories(3)])
def test_nothing_to_learn_or_no_steps_changes_nothing(rows: Ragged) -> None:
    student = model("autoencoder")
    before = {name: value.clone() for name, value in student.state_dict().items()}
    steps = 0 if len(rows) else 10
    assert pretrain(student, rows, TrainingOptions(steps=steps), np.random.default_rng(0)) is None
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())
    assert not student.training


def test_lessons_of_nobody_are_legal() -> None:
    rows, options = Ragged.from_rows([], np.int32), DistilOptions(weights=LossWeights(feature=1.0))
    lessons = give_lessons(model("linear"), rows, options, 0, np.random.default_rng(0))
    assert distil(model("linear"), lessons, options, np.random.default_rng(0)) is None


def test_the_whole_pipeline_is_deterministic_and_ends_in_evaluation_mode() -> None:
    options = PipelineOptions(
        pretrain=TrainingOptions(steps=20, visible=0.5, batch_size=32),
        distil=DistilOptions(
            training=TrainingOptions(steps=20, visible=0.7), weights=LossWeights(feature=0.1, hard=0.1)
        ),
        optimise=TrainingOptions(steps=10, visible=0.5),
        views=1,
    )
    outcomes = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        phases: list[str] = []
        teacher, student = model("autoencoder", 16), LinearConfig(width=4, dropout=0.3).build(CATALOGUE, 0)
        watch = Watch(10, report=lambda p, phases=phases: phases.append(p.phase))
        run_pipeline(teacher, student, histories(), options, np.random.default_rng(5), watch)
        assert not teacher.training
        assert not student.training
        assert phases == ["pretrain"] * 2 + ["distil"] * 2 + ["optimise"]
        outcomes.append(score(student, histories()))
    np.testing.assert_array_equal(outcomes[0], outcomes[1])


def test_every_row_is_trained_on_before_any_is_repeated() -> None:
    batches: list[list[int]] = []
    student = LowRank(3, 1)

    def loss_of(rows: np.ndarray) -> torch.Tensor:
        batches.append(rows.tolist())
        return student.encoder.weight.square().sum()

    train(student, loss_of, 6, TrainingOptions(steps=4, batch_size=3), np.random.default_rng(0), Watch(), "distil")
    assert sorted(batches[0] + batches[1]) == sorted(batches[2] + batches[3]) == list(range(6))
