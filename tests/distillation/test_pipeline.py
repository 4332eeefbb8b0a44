"""The three phases: that each learns, the contents of targets, and the reports of a watch."""

import math

import numpy as np
import pytest
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.distillation.features import Projection
from fedkd.distillation.options import DistillationOptions
from fedkd.distillation.pipeline import distil, optimise, pretrain
from fedkd.distillation.targets import DistillationTargets, teacher_targets
from fedkd.errors import UserError
from fedkd.losses.objectives import LossWeights
from fedkd.models.base import Recommender, padded_histories, score
from fedkd.models.cnn import CNNConfig
from fedkd.models.ease import fit_ease
from fedkd.models.linear import LinearConfig
from fedkd.models.table import MODELS
from fedkd.ragged import Ragged
from fedkd.training.central import TrainingProgress, Watch
from fedkd.training.options import StepTraining

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
    options = DistillationOptions(teacher_scale=10.0, training=StepTraining(steps=200, learning_rate=0.02))
    before = distance(teacher, student, rows, 10.0)
    rng = np.random.default_rng(0)
    distil(student, teacher_targets(teacher, rows, options, 0, rng), options, rng)
    assert distance(teacher, student, rows, 10.0) < 0.25 * before


def test_targets_contain_the_teachers_scores_of_every_view() -> None:
    rows = histories(10)
    teacher = fit_ease(interactions(rows), 5.0)
    options = DistillationOptions(teacher_scale=3.0, training=StepTraining(visible=0.5))
    targets = teacher_targets(teacher, rows, options, 2, np.random.default_rng(0))
    assert len(targets) == len(targets.labels) == 30
    np.testing.assert_allclose(targets.scores, 3 * score(teacher, targets.histories), rtol=1e-6)
    for row in range(30):
        assert targets.labels[row].tolist() == rows[row % 10].tolist()
        assert set(targets.histories[row]) <= set(rows[row % 10])
    assert targets.histories.lengths[10:].mean() < 4
    assert targets.features is None


def largest(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return the largest difference of a feature; a loss of a user's own."""
    return (student - teacher).abs().amax((-1, -2))


OWN = f"{__name__}:{largest.__name__}"


@pytest.mark.parametrize("feature_loss", ["cross-entropy", "mse", OWN])
@pytest.mark.parametrize("layer", [None, 1])
def test_features_alone_teach_a_student(feature_loss: str, layer: int | None) -> None:
    rows = histories()
    teacher = CNNConfig(width=12, channels=(32, 64), length=20).build(CATALOGUE, 1)
    student = CNNConfig(width=8, channels=(16, 32), length=20).build(CATALOGUE, 2)
    options = DistillationOptions.model_validate(
        {
            "weights": {"soft": 0, "feature": 1},
            "feature-loss": feature_loss,
            "layer": layer,
            "training": {"steps": 80},
        }
    )
    targets = teacher_targets(teacher, rows, options, 0, np.random.default_rng(0))
    assert targets.features is not None
    assert targets.features.shape == (60, 1, 64 if layer is None else 32)
    head = student.state_dict()["head.weight"].clone()
    losses: list[float] = []
    distil(student, targets, options, np.random.default_rng(0), Watch(1, report=lambda p: losses.append(p.loss)))
    assert losses[-1] < losses[0]
    assert torch.equal(student.state_dict()["head.weight"], head)


def test_features_of_a_layer_are_the_mean_over_real_items() -> None:
    cnn = CNNConfig(width=4, length=20).build(CATALOGUE, 0)
    padded = padded_histories(Ragged.from_rows([[1, 2, 3], [4]], np.int32), ITEMS)
    table = cnn.state_dict()["embedding.weight"]
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
    targets = DistillationTargets(Ragged.from_rows([[0]], np.int32), np.zeros((1, ITEMS), np.float32), rows)
    options = DistillationOptions(weights=LossWeights(soft=0.0, hard=1.0), training=StepTraining(steps=200))
    student = model("linear")
    distil(student, targets, options, np.random.default_rng(0))
    best = np.argsort(-score(student, targets.histories)[0])[:4]
    assert sorted(best.tolist()) == [0, 1, 2, 3]


def test_the_best_state_is_kept_and_progress_is_reported() -> None:
    seen: list[TrainingProgress] = []
    qualities = iter([0.1, 0.5, 0.2])
    states: list[torch.Tensor] = []

    def evaluate(student: Recommender) -> float:
        assert not student.training
        states.append(student.state_dict()["encoder.weight"].clone())
        return next(qualities)

    student = model("linear")
    best = optimise(
        student, histories(), StepTraining(steps=25), np.random.default_rng(0), Watch(10, evaluate, seen.append)
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
    assert pretrain(student, rows, StepTraining(steps=steps), np.random.default_rng(0)) is None
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())
    assert not student.training


def test_targets_of_nobody_are_legal() -> None:
    rows, options = Ragged.from_rows([], np.int32), DistillationOptions(weights=LossWeights(feature=1.0))
    targets = teacher_targets(model("linear"), rows, options, 0, np.random.default_rng(0))
    assert distil(model("linear"), targets, options, np.random.default_rng(0)) is None


def test_the_three_phases_are_deterministic_and_end_in_evaluation_mode() -> None:
    hard = StepTraining(steps=20, visible=0.5, batch_size=32)
    options = DistillationOptions(
        training=StepTraining(steps=20, visible=0.7), weights=LossWeights(feature=0.1, hard=0.1)
    )
    outcomes = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        phases: list[str] = []
        teacher, student = model("autoencoder", 16), LinearConfig(width=4, dropout=0.3).build(CATALOGUE, 0)
        watch = Watch(10, report=lambda p, phases=phases: phases.append(p.phase))
        rng = np.random.default_rng(5)
        pretrain(teacher, histories(), hard, rng, watch)
        distil(student, teacher_targets(teacher, histories(), options, 1, rng), options, rng, watch)
        optimise(student, histories(), hard.model_copy(update={"steps": 10}), rng, watch)
        assert not teacher.training
        assert not student.training
        assert phases == ["pretrain"] * 2 + ["distil"] * 2 + ["optimise"]
        outcomes.append(score(student, histories()))
    np.testing.assert_array_equal(outcomes[0], outcomes[1])
