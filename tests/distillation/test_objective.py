"""The student's objective: the same in one place and for many students at once, with schedules and positions."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from fedkd.data.catalogue import Catalogue
from fedkd.distillation.objective import example_losses, observed
from fedkd.distillation.options import DistillationOptions
from fedkd.distillation.pipeline import distil
from fedkd.distillation.targets import teacher_targets
from fedkd.losses.features import FEATURE_LOSSES
from fedkd.losses.objectives import LossWeights
from fedkd.losses.soft_labels import SOFT_LABEL_LOSSES
from fedkd.models.cnn import CNNConfig
from fedkd.ragged import Ragged
from fedkd.random_streams import stream
from fedkd.training.central import Watch
from fedkd.training.engine import losses_of, replicate, train
from fedkd.training.examples import Examples
from fedkd.training.options import CohortTraining

CATALOGUE = Catalogue.numbered(12)
TEACHER = CNNConfig(width=6, channels=(4, 8), length=5).build(CATALOGUE, 1)
HISTORIES = Ragged.from_rows([[1, 2, 3], [4, 5], [6, 7, 8, 9], [10]], np.int32)


def settings(**given: object) -> DistillationOptions:
    whole = {"weights": {"soft": 1, "feature": 0.5, "hard": 0.3}, "layer": 1, "top": 3}
    return DistillationOptions.model_validate({**whole, "training": {"steps": 3}, **given})


@pytest.mark.parametrize("soft", SOFT_LABEL_LOSSES)
@pytest.mark.parametrize("feature", ["cross-entropy", "mse", "attention"])
def test_many_students_at_once_have_the_losses_of_each_alone(soft: str, feature: str) -> None:
    options = settings(**{"soft-label-loss": soft, "feature-loss": feature, "positions": True})
    targets = teacher_targets(TEACHER, HISTORIES, options, 0, np.random.default_rng(0))
    assert targets.features is not None
    student = observed(CNNConfig(width=4, channels=(2, 3), length=5).build(CATALOGUE, 0), options, 4, 0)
    batch = targets.batch(np.arange(4), 12)
    parameters = replicate(student, 3)
    for stacked in parameters.values():
        stacked += torch.randn(stacked.shape, generator=torch.Generator().manual_seed(0)) * 0.1

    def loss(model: object, columns: object) -> Tensor:
        return example_losses(model, columns, options, options.weights)  # type: ignore[arg-type]

    together = losses_of(student, parameters, {n: c.expand(3, *c.shape) for n, c in batch.items()}, loss)
    assert together.shape == (3, 4)
    for row in range(3):
        own = {name: stacked[row] for name, stacked in parameters.items()}
        alone = example_losses(lambda h, own=own: functional_call(student, own, (h,)), batch, options, options.weights)
        torch.testing.assert_close(together[row], alone)


def test_the_cohort_engine_distils_students_with_their_adapters() -> None:
    options = settings()
    targets = teacher_targets(TEACHER, HISTORIES, options, 0, np.random.default_rng(0))
    student = observed(CNNConfig(width=4, channels=(2, 3), length=5).build(CATALOGUE, 0), options, 4, 0)
    columns = {name: tensor.numpy() for name, tensor in targets.batch(np.arange(4), 12).items()}
    examples = Examples({name: Ragged(values, np.array([0, 3, 4])) for name, values in columns.items()})
    parameters = replicate(student.eval(), 2)
    losses = train(
        student,
        parameters,
        examples,
        lambda model, batch: example_losses(model, batch, options, options.weights),  # type: ignore[arg-type]
        CohortTraining(epochs=30, learning_rate=0.02),
        [stream(0, "train", 0, client) for client in range(2)],
    )
    assert (losses[:, -1] < 0.8 * losses[:, 0]).all()


@pytest.mark.parametrize("feature", FEATURE_LOSSES)
def test_every_feature_loss_teaches_positions_or_examples(feature: str) -> None:
    options = settings(**{"feature-loss": feature, "positions": True, "weights": {"soft": 0, "feature": 1}})
    options = options.model_copy(update={"training": options.training.model_copy(update={"steps": 60})})
    targets = teacher_targets(TEACHER, HISTORIES, options, 0, np.random.default_rng(0))
    seen: list[float] = []
    student = CNNConfig(width=4, channels=(3, 3), length=5).build(CATALOGUE, 3)
    distil(student, targets, options, np.random.default_rng(0), Watch(1, report=lambda p: seen.append(p.loss)))
    assert seen[-1] < seen[0]


def test_weights_of_a_schedule_come_step_by_step() -> None:
    options = settings(**{"weights": {"soft": 1}, "last-weights": {"soft": 0, "hard": 1}, "layer": None})
    targets = teacher_targets(TEACHER, HISTORIES, options, 0, np.random.default_rng(0))
    assert not options.compares_features
    assert targets.features is None
    seen: list[float] = []
    student = CNNConfig(width=4, length=5).build(CATALOGUE, 0)
    training = options.training.model_copy(update={"learning_rate": 1e-12})
    options = options.model_copy(update={"training": training})
    distil(student, targets, options, np.random.default_rng(0), Watch(1, report=lambda p: seen.append(p.loss)))
    alone = observed(student, options, None, 0)
    batch = targets.batch(np.arange(4), 12)
    expected = [LossWeights(soft=1), LossWeights(soft=0.5, hard=0.5), LossWeights(soft=0, hard=1)]
    for loss, weights in zip(seen, expected, strict=True):
        assert loss == pytest.approx(float(example_losses(alone, batch, options, weights).mean().detach()), rel=1e-4)


def test_positions_are_those_of_a_layer() -> None:
    with pytest.raises(ValueError, match="set layer"):
        settings(positions=True, layer=None)
