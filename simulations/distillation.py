"""``python -m simulations.distillation``: distillation in one place, against the same student without it.

Everything is chosen on the validation part: EASE's ridge, learning rates, the teacher's scale, how much of a history
the undistilled student sees, and the number of steps. The chosen settings are trained again on all training data,
with several seeds, and measured once on the test part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.table import Table

from fedkd.cli.progress import tracked
from fedkd.cli.terminal import guarded, plain_table, say, show, start
from fedkd.data.fold import Fold, Split
from fedkd.data.options import SplitOptions
from fedkd.data.sources.table import SOURCES
from fedkd.data.splits import split
from fedkd.distillation.closed_forms import Gram, low_rank_student
from fedkd.distillation.options import PRETRAINING, DistillationOptions
from fedkd.distillation.pipeline import distil, optimise, pretrain
from fedkd.distillation.targets import teacher_targets
from fedkd.evaluation.evaluator import Interval, evaluate, model_scores, over_seeds
from fedkd.losses.features import FEATURE_LOSSES, feature_loss
from fedkd.losses.objectives import LossWeights
from fedkd.models.base import ModelConfig, Recommender
from fedkd.models.ease import EASE, fit_ease
from fedkd.models.item_knn import fit_item_knn
from fedkd.models.linear import LinearConfig
from fedkd.models.popularity import fit_popularity
from fedkd.models.table import MODELS
from fedkd.models.watching import shown_by, watched
from fedkd.random_streams import stream
from fedkd.report.formatting import interval_text, percent
from fedkd.report.run import Interval as Spread
from fedkd.runs.mistakes import validated
from fedkd.training.central import TrainingProgress, Watch
from fedkd.training.options import StepTraining

METRIC = "ndcg@10"
RIDGES = (100.0, 200.0, 300.0, 500.0, 700.0, 1000.0, 1500.0)
LEARNING_RATES = (0.01, 0.02)
TEACHER_SCALES = (10.0, 20.0, 30.0)
VISIBLE = (1.0, 0.5, 0.2, 0.1)
STEPS = 500
LARGE = {"cnn": {"width": 200, "channels": (32, 64)}}


@dataclass(frozen=True)
class Pair:
    """Teacher and student.

    Attributes
    ----------
    teacher : ModelConfig, optional
        Shape of a trained teacher; EASE without it.
    student : ModelConfig
        Shape of the student.
    feature_weight : float
        Weight of the feature loss.
    feature_loss : str
        Its name, or a function as ``package.module:function``.
    """

    teacher: ModelConfig | None
    student: ModelConfig
    feature_weight: float
    feature_loss: str = DistillationOptions().feature_loss


@dataclass(frozen=True)
class ModelQuality:
    """A line of the table: a model's quality over seeds, and its size."""

    name: str
    quality: Interval
    parameters: int


Trainer = Callable[[Recommender, Fold, int, Watch], None]


def quality(model: Recommender, fold: Fold) -> float:
    """Return the metric that everything is chosen by."""
    return evaluate(model_scores(model), fold).means()[METRIC]


def best_ridge(fold: Fold) -> float:
    """Return EASE's ridge with the best quality on a validation fold."""
    tried = watched(RIDGES, len(RIDGES), "ridges of EASE")
    return max(tried, key=lambda ridge: quality(fit_ease(fold.train, ridge), fold))


def teacher_for(pair: Pair, ridge: float, fold: Fold, steps: int, watch: Watch) -> Recommender:
    """Return the teacher, in closed form or trained on hard labels."""
    if pair.teacher is None:
        return fit_ease(fold.train, ridge)
    model = pair.teacher.build(fold.train.catalogue, 0)
    training = PRETRAINING.model_copy(update={"steps": steps})
    pretrain(model, fold.train.histories, training, stream(0, "pretrain"), watch)
    return model


def distilled(teacher: Recommender, options: DistillationOptions) -> Trainer:
    """Return the training of a student by a teacher."""

    def run(student: Recommender, fold: Fold, seed: int, watch: Watch) -> None:
        rng = stream(seed, "distil")
        targets = teacher_targets(teacher, fold.train.histories, options, 0, rng)
        distil(student, targets, options, rng, watch)

    return run


def undistilled(training: StepTraining) -> Trainer:
    """Return the training of a student on hard labels alone."""

    def run(student: Recommender, fold: Fold, seed: int, watch: Watch) -> None:
        optimise(student, fold.train.histories, training, stream(seed, "optimise"), watch)

    return run


def best_steps(train: Callable[[Watch], object], fold: Fold) -> tuple[float, int]:
    """Return the best quality on a validation fold while training, and the steps until then."""
    curve: list[tuple[float, int]] = []

    def note(progress: TrainingProgress) -> None:
        if progress.quality is not None:
            curve.append((progress.quality, progress.step))

    train(Watch(50, lambda model: quality(model, fold), note))
    return max(curve, key=lambda point: (point[0], -point[1]))


def choose_distillation(pair: Pair, teacher: Recommender, fold: Fold) -> DistillationOptions:
    """Return the settings of distillation that are best on a validation fold."""
    scales = TEACHER_SCALES if pair.teacher is None else (1.0,)
    weights = LossWeights(feature=pair.feature_weight)
    candidates = [
        DistillationOptions(
            teacher_scale=scale,
            weights=weights,
            feature_loss=pair.feature_loss,
            training=StepTraining(steps=STEPS, learning_rate=learning_rate),
        )
        for scale, learning_rate in product(scales, LEARNING_RATES)
    ]
    tried = watched(candidates, len(candidates), "settings of distillation")
    results = [_try(pair.student, distilled(teacher, options), fold) for options in tried]
    best = max(range(len(results)), key=lambda index: results[index][0])
    training = candidates[best].training.model_copy(update={"steps": results[best][1]})
    return candidates[best].model_copy(update={"training": training})


def choose_training(pair: Pair, fold: Fold) -> StepTraining:
    """Return the settings of training on hard labels that are best on a validation fold."""
    candidates = [
        StepTraining(steps=STEPS, learning_rate=learning_rate, visible=visible)
        for visible, learning_rate in product(VISIBLE, LEARNING_RATES)
    ]
    tried = watched(candidates, len(candidates), "settings of the student alone")
    results = [_try(pair.student, undistilled(options), fold) for options in tried]
    best = max(range(len(results)), key=lambda index: results[index][0])
    return candidates[best].model_copy(update={"steps": results[best][1]})


def _try(shape: ModelConfig, trainer: Trainer, fold: Fold) -> tuple[float, int]:
    student = shape.build(fold.train.catalogue, 0)
    return best_steps(lambda watch: trainer(student, fold, 0, watch), fold)


def over(name: str, shape: ModelConfig, trainer: Trainer, fold: Fold, seeds: int) -> ModelQuality:
    """Train a student with several seeds and measure it on the test fold."""
    values = []
    for seed in watched(range(seeds), seeds, name):
        student = shape.build(fold.train.catalogue, seed)
        trainer(student, fold, seed, Watch(every=STEPS))
        values.append(quality(student, fold))
    return ModelQuality(name, over_seeds(np.array(values)), student.size()[0])


def fixed(name: str, model: Recommender, fold: Fold) -> ModelQuality:
    """Measure a model that no seed changes."""
    return ModelQuality(name, over_seeds(np.array([quality(model, fold)])), model.size()[0])


def compare(pair: Pair, data: Split, seeds: int, say: Callable[[str], None]) -> list[ModelQuality]:
    """Choose on validation, train again, measure on test; return the table."""
    chosen_on, test = data.validation, data.test
    ridge = best_ridge(chosen_on)
    say(f"chosen on validation: ridge of EASE {ridge:g}")
    steps = PRETRAINING.steps
    if pair.teacher is not None:
        _, steps = best_steps(lambda watch: teacher_for(pair, ridge, chosen_on, PRETRAINING.steps, watch), chosen_on)
    options = choose_distillation(pair, teacher_for(pair, ridge, chosen_on, steps, Watch()), chosen_on)
    say(f"chosen on validation: distillation with {_said(options.training)}, teacher's scale {options.teacher_scale:g}")
    alone = choose_training(pair, chosen_on)
    say(f"chosen on validation: student alone with {_said(alone)}")
    ease = fit_ease(test.train, ridge)
    rows = [
        fixed("popularity", fit_popularity(test.train), test),
        fixed("item-knn", fit_item_knn(test.train), test),
        fixed("ease", ease, test),
    ]
    teacher: Recommender = ease
    if pair.teacher is not None:
        teacher = teacher_for(pair, ridge, test, steps, Watch())
        rows.append(fixed("teacher", teacher, test))
    elif isinstance(pair.student, LinearConfig):
        rows.append(fixed("distilled in closed form", _closed_form(ease, test, pair.student.width), test))
    same = options.training
    return [
        *rows,
        over("student alone, same settings", pair.student, undistilled(same), test, seeds),
        over("student alone, its own settings", pair.student, undistilled(alone), test, seeds),
        over("student distilled", pair.student, distilled(teacher, options), test, seeds),
    ]


def _closed_form(ease: EASE, fold: Fold, rank: int) -> Recommender:
    factor = fold.train.matrix(np.float32).toarray()
    return low_rank_student(ease, Gram(factor), rank)


def _said(training: StepTraining) -> str:
    return (
        f"{training.steps} steps, learning rate {training.learning_rate:g}, {training.visible:.0%} of a history shown"
    )


def table(rows: list[ModelQuality]) -> Table:
    """Return the comparison as a table; per cent are of EASE, gains those of the distilled student."""
    ease = next(row for row in rows if row.name == "ease")
    student = rows[-1].quality["mean"]
    shown = plain_table("model", numbers=(METRIC, "of EASE", "distilled gains", "parameters"))
    for row in rows:
        mean = row.quality["mean"]
        shown.add_row(
            row.name,
            interval_text(Spread(**row.quality)),
            percent(mean / ease.quality["mean"]),
            f"{student / mean - 1:+.1%}",
            f"{row.parameters:,} ({percent(row.parameters / ease.parameters)})",
        )
    return shown


def _shape(name: str, settings: dict[str, Any], option: str) -> ModelConfig:
    return validated(MODELS.find(name), settings, f"{option} {name}")


OWN_MODELS = f"{', '.join(MODELS.names)}, or a class of your own as package.module:Class"


@guarded
def main(
    source: Annotated[str, typer.Option(help="A source that 'fedkd data list' names.")] = "movielens-100k",
    path: Annotated[Path | None, typer.Option(help="Its folder or file; downloaded without it.")] = None,
    division: Annotated[str, typer.Option("--split", help="official, ratio, leave-last-out, ...")] = "official",
    teacher: Annotated[str, typer.Option(help=f"ease, {OWN_MODELS}.")] = "ease",
    student: Annotated[str, typer.Option(help=f"{OWN_MODELS}.")] = "linear",
    width: Annotated[int, typer.Option(help="The student's width.", min=1)] = 16,
    feature_weight: Annotated[float, typer.Option(help="Weight of the feature loss.", min=0.0)] = 0.0,
    feature: Annotated[
        str,
        typer.Option("--feature-loss", help=f"{', '.join(FEATURE_LOSSES)}, or your own as package.module:function."),
    ] = DistillationOptions().feature_loss,
    seeds: Annotated[int, typer.Option(help="How often the students are trained.", min=1)] = 3,
) -> None:
    """Distil a student in one place and compare it with its teacher and with itself undistilled."""
    torch.set_num_threads(1)
    feature_loss(feature)  # a wrong name is said before any work
    shape = None if teacher == "ease" else _shape(teacher, LARGE.get(teacher, {"width": 200}), "--teacher")
    pair = Pair(shape, _shape(student, {"width": width}, "--student"), feature_weight, feature)
    rule = validated(SplitOptions, {"kind": division}, "--split")
    data = split(validated(SOURCES.find(source), {"path": path}, "--source").load(), rule, 0)
    with shown_by(tracked):
        rows = compare(pair, data, seeds, say)
    show(table(rows))


if __name__ == "__main__":
    start(main)
