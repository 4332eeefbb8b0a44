"""The steps of a notebook, each in one call: data, a teacher, a student, a federation, quality, lists with titles.

All names are those of the package, too. Whatever is wrong is a ``UserError`` that says what mends it.

```python
import fedkd

size = {"users": 300, "items": 200, "mean_history": 20}
loaded = fedkd.load("synthetic", synthetic=size)
fold = fedkd.split(loaded, "ratio", seed=0).test

teacher = fedkd.train_teacher(fold.train, "ease", l2=200)
student = fedkd.distil(teacher, fold.train, "linear", width=16)
print(fedkd.evaluate(student, fold))

run = fedkd.federate(data={"synthetic": size}, algorithm={"rank": 16})
print(run.promise)
private = run.data.fold.history.take(run.data.private)
print(fedkd.evaluate(run.student, run.data.fold, run.data.private))
print(fedkd.recommend(run.student, private, k=5).head(10))
```
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedkd.data.fold import Fold, Split
from fedkd.data.interactions import Interactions
from fedkd.data.options import SplitOptions
from fedkd.data.sources.base import Loaded
from fedkd.data.sources.table import SOURCES
from fedkd.data.splits import split as divide
from fedkd.distillation import pipeline
from fedkd.distillation.options import PRETRAINING, DistillationOptions
from fedkd.distillation.targets import teacher_targets
from fedkd.evaluation import evaluator
from fedkd.evaluation.metrics import METRICS
from fedkd.evaluation.recommend import check_catalogue, top_items
from fedkd.models.base import Recommender
from fedkd.models.closed_forms import CLOSED_FORMS, fit
from fedkd.models.ease import EASE
from fedkd.models.table import MODELS
from fedkd.models.woodbury import WoodburyEASE
from fedkd.random_streams import stream
from fedkd.registry import unknown
from fedkd.runs.choices import CHOSEN
from fedkd.runs.config import Config
from fedkd.runs.config import load as read_config
from fedkd.runs.in_memory import FederatedRun, play
from fedkd.runs.mistakes import completed, validated
from fedkd.training.options import StepTraining

EASE_SCALE = 20.0
"""EASE's scores lie between 0 and 1; times this they are its logits."""


def load(source: str = "synthetic", **options: Any) -> Loaded:
    """Read a data set and clean it.

    Parameters
    ----------
    source : str
        A name that ``fedkd data list`` shows, or a source of your own as ``package.module:Class``.
    **options
        The source's keys, such as ``path="ratings.csv"``, ``min_rating=4`` or ``synthetic={"users": 300}``.

    Returns
    -------
    Loaded
        ``interactions`` (with their catalogue), what cleaning ``dropped``, and the ``licence``.
    """
    return validated(SOURCES.find(source), options, f"data source {source}").load()


def split(loaded: Loaded | Interactions, kind: str = "ratio", seed: int = 0, **options: float) -> Split:
    """Divide a data set into training data and what models are measured on.

    Parameters
    ----------
    loaded : Loaded or Interactions
        What to divide.
    kind : str
        ``ratio``, ``leave-last-out``, ``temporal``, ``user-disjoint``, ``cold-items`` or ``official``.
    seed : int
        The split's chance.
    **options
        ``test_fraction``, ``validation_fraction``, ``fold_in_fraction``.

    Returns
    -------
    Split
        Two folds: choose models on ``validation``, report once on ``test``.
    """
    return divide(loaded, validated(SplitOptions, {"kind": kind, **options}, "the split"), seed)


def train_teacher(
    train: Interactions,
    model: str = "ease",
    seed: int = 0,
    training: StepTraining | Mapping[str, Any] | None = None,
    **options: Any,
) -> Recommender:
    """Train a teacher on everyone's histories in one place.

    Parameters
    ----------
    train : Interactions
        The training part of a fold.
    model : str
        ``ease``, ``item-knn``, ``popularity`` or ``sparse``, which need no training; ``linear``, ``autoencoder``,
        ``cnn``, ``gru``, ``transformer``, or a family of your own as ``package.module:Class``. Models of the order
        learn most with ``training={"labels": {"target": "next-item"}}``.
    seed : int
        Of first numbers, batches and dropout.
    training : StepTraining or mapping, optional
        Length and speed for families that are trained; other keys than the given ones keep their default. Choose
        ``{"steps": 600}`` on the validation fold: on small data 600, the default, is too long.
    **options
        The model's settings: ``l2`` of EASE, ``k`` and ``shrink`` of item-kNN, ``kept`` weights of ``sparse``, the keys
        of a family such as ``width``.
    """
    if model in CLOSED_FORMS:
        return fit(model, train, **options if training is None else {**options, "training": training})
    teacher = _new(model, train, seed, options, (*CLOSED_FORMS, *MODELS.names))
    length = completed(PRETRAINING, training or {}, "the training")
    pipeline.pretrain(teacher, train.histories, length, stream(seed, "pretrain"))
    return teacher


def distil(
    teacher: Recommender,
    train: Interactions,
    model: str = "linear",
    seed: int = 0,
    distillation: DistillationOptions | Mapping[str, Any] | None = None,
    **options: Any,
) -> Recommender:
    """Train a student on a teacher's scores, and on its features if ``weights`` say so.

    Parameters
    ----------
    teacher : Recommender
        The model to imitate.
    train : Interactions
        Histories for which the teacher is asked.
    model : str
        ``linear``, ``autoencoder``, ``cnn``, or a family of your own as ``package.module:Class``.
    seed : int
        Of first numbers, batches and dropout.
    distillation : DistillationOptions or mapping, optional
        The losses and the training, such as ``{"temperature": 2, "training": {"steps": 500}}``; other keys keep their
        default. ``teacher_scale`` is 20 for EASE where it is not given, and 1 for other teachers.
    **options
        The settings of the student's family, such as ``width``.
    """
    check_catalogue(teacher, train)
    scale = EASE_SCALE if isinstance(teacher, EASE | WoodburyEASE) else 1.0
    losses = completed(DistillationOptions(teacher_scale=scale), distillation or {}, "the distillation")
    student, rng = _new(model, train, seed, options, MODELS.names), stream(seed, "distil")
    pipeline.distil(student, teacher_targets(teacher, train.histories, losses, 0, rng), losses, rng)
    return student


def federate(config: Config | Path | str | None = None, **settings: Any) -> FederatedRun:
    """Play a federation in memory, all rounds of it: the protocol and the noise of a real one, without messages.

    It keeps no ledger, so nothing stops a second run from spending the same budget again. A run that must be
    remembered is one of ``python -m simulations.run`` or of a real server, whose models are the same.

    Parameters
    ----------
    config : Config or path, optional
        The settings, or their TOML file; the defaults without it.
    **settings
        Keys that replace those of ``config``: ``num_server_rounds=3``, ``algorithm="fedmd"``,
        ``data={"source": "table", "path": "ratings.csv"}``, ``privacy={"mode": "central", "epsilon": 4}``. A table
        that names some of its keys changes these alone.
    """
    given = config if isinstance(config, Config) else read_config(None if config is None else Path(config))
    tables = {
        name: {CHOSEN[name].base.key: value} if name in CHOSEN and isinstance(value, str) else value
        for name, value in settings.items()
    }
    return play(completed(given, tables, "the configuration") if tables else given)


def evaluate(
    model: Recommender,
    fold: Fold,
    users: Sequence[int] | NDArray[np.int64] | None = None,
    metrics: Sequence[str] = METRICS,
) -> pd.DataFrame:
    """Measure a model by ranking the whole catalogue; items of a user's history are left out.

    Parameters
    ----------
    model : Recommender
        Trained on ``fold.train``.
    fold : Fold
        Histories and what users did next.
    users : sequence of int, optional
        Positions of the users; all by default. Those without a target are left out.
    metrics : sequence of str
        ``ndcg@10``, ``ndcg@20``, ``recall@10``, ``recall@20``, ``hr@10``, ``mrr@10``.

    Returns
    -------
    DataFrame
        A row for every metric: ``mean``, and ``low`` and ``high``, the ends of its 95 % interval.
    """
    check_catalogue(model, fold.target)
    for name in metrics:
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
    chosen = None if users is None else np.asarray(users, np.int64)
    found = evaluator.intervals(evaluator.evaluate(evaluator.model_scores(model), fold, chosen))
    return pd.DataFrame.from_dict({name: found[name] for name in metrics}, orient="index")


def recommend(model: Recommender, histories: Interactions, k: int = 10) -> pd.DataFrame:
    """Return the best ``k`` items of every user that are not in the user's history.

    Parameters
    ----------
    model : Recommender
        Trained on the catalogue of ``histories``.
    histories : Interactions
        The users, for example ``fold.history.take(np.array([0, 7]))``.
    k : int
        Length of a list; it is shorter where fewer items are left.

    Returns
    -------
    DataFrame
        ``user`` (row of the histories), ``rank`` from 1, ``item`` (the source's id), ``title`` and ``score``.
    """
    return top_items(model, histories, k)


def _new(family: str, train: Interactions, seed: int, options: Mapping[str, Any], names: Sequence[str]) -> Recommender:
    """Return a new model of a family; ``names`` are all that an error tells."""
    if ":" not in family and family not in MODELS.names:
        raise unknown("model", family, names, ", or a family of your own as package.module:Class")
    return validated(MODELS.find(family), options, f"model {family}").build(train.catalogue, seed)
