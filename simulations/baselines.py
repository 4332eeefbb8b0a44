"""The training of baselines, the rows of the results beside teacher and student."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fedkd.data.interactions import Interactions
from fedkd.distillation.closed_forms import Gram, ease_teacher
from fedkd.distillation.residual import UserWeights, ridge
from fedkd.evaluation.rows import BY_NAME, PUBLIC
from fedkd.models.base import Recommender
from fedkd.models.decayed_linear import Decayed
from fedkd.models.ease import fit_ease
from fedkd.models.item_knn import fit_item_knn
from fedkd.models.linear import LinearConfig
from fedkd.models.popularity import fit_popularity
from fedkd.privacy.options import PrivacyOptions
from fedkd.protocols.base import State
from fedkd.protocols.fedavg import FedAvg
from fedkd.protocols.local_only import LocalOnly
from fedkd.protocols.low_rank import LowRankStudent
from fedkd.protocols.residual import Residual
from fedkd.random_streams import stream
from fedkd.runs.config import Config
from fedkd.runs.federation import Federation
from fedkd.training.options import LocalTraining

FEDAVG: dict[str, Any] = {"server_optimiser": "adam", "server_learning_rate": 0.1}
"""Chosen on the validation part of the synthetic data among both optimisers and several step sizes."""

MAX_DENSE_ITEMS = 20_000
"""Above this, items x items baselines do not fit a small machine's memory and are left out."""


def central_ease(train: Interactions, config: Config) -> Recommender:
    """Return EASE with the weights and the ridge that the federated teacher uses, on any training set."""
    weights, strength = _teacher_rule(config)
    user_weights = weights.of(train.histories.lengths).astype(np.float64)
    return fit_ease(train, ridge(strength, train, weights), user_weights)


def public_ease(public: Interactions, config: Config) -> Recommender:
    """Return the same for few users of a catalogue of any size, without an array of items x items."""
    weights, strength = _teacher_rule(config)
    root = np.sqrt(weights.of(public.histories.lengths))[:, None]
    rows = public.matrix(np.float64).multiply(root).todense()
    return ease_teacher(Gram(np.asarray(rows)), ridge(strength, public, weights))


def _teacher_rule(config: Config) -> tuple[UserWeights, float]:
    rule = config.algorithm if isinstance(config.algorithm, Residual) else Residual()
    return UserWeights(1000, rule.damping), rule.regularisation


def public_student(config: Config, together: Federation) -> Recommender | None:
    """Return the run's student if no client answered; None where the protocol then learns nothing."""
    return unanswered(config, together) if isinstance(config.algorithm, LowRankStudent) else None


def unanswered(config: Config, together: Federation) -> Recommender | None:
    """Return the student of a run in which no client answers; None where clients keep theirs to themselves."""
    return config.algorithm.student(_silence(config, together))


def public_teacher(config: Config, together: Federation) -> Recommender:
    """Return EASE of the public users, or the run's own teacher without answers where it learns what comes next."""
    if isinstance(config.algorithm, LowRankStudent):
        own = config.algorithm.teacher(_silence(config, together))
        if isinstance(own, Decayed):
            return own
    return public_ease(_public(together), config)


def _silence(config: Config, together: Federation) -> State:
    """Return the state after a round in which no client answers."""
    protocol = config.algorithm
    state, _ = protocol.teach(protocol.begin(together.setup(config)), stream(config.seed, "teach", 1))
    return state


def _public(together: Federation) -> Interactions:
    return together.fold.train.take(together.partition.public)


CENTRAL: dict[str, Callable[[Config, Federation], Recommender | None]] = {
    "popularity": lambda config, together: fit_popularity(together.fold.train),
    "item-knn": lambda config, together: fit_item_knn(together.fold.train),
    "ease": lambda config, together: central_ease(together.fold.train, config),
    "public-teacher": public_teacher,
    "public-student": lambda config, together: public_student(config, together),
    "centralised": lambda config, together: config.algorithm.centralised(together.fold.train, together.setup(config)),
}
"""The training of every row of kind ``central``."""


def central_model(name: str, config: Config, together: Federation) -> Recommender | None:
    """Return a baseline that is trained in one place; None where it is not possible.

    Public-only models need public users, and items x items models a catalogue of at most ``MAX_DENSE_ITEMS``.
    """
    row = BY_NAME[name]
    if row.source == PUBLIC and not len(together.partition.public):
        return None
    if row.dense and together.fold.train.num_items > MAX_DENSE_ITEMS:
        return None
    return CENTRAL[name](config, together)


def federated_baseline(name: str, config: Config, folder: Path) -> Config:
    """Return the configuration of a baseline that is a protocol itself: FedAvg of the student, or no exchange at all.

    It trains a student of the same family and size on the same clients for ``evaluation.baseline-rounds`` rounds.
    FedAvg has the same budgets, in a ledger of its own, because it is an alternative to the run. Where nothing is
    exchanged, nothing needs protection.
    """
    algorithm = config.algorithm
    model = getattr(algorithm, "model", None) or LinearConfig(width=getattr(algorithm, "rank", 32))
    noisy = config.privacy.student.epsilon is not None  # noisy students take plain steps, of the size that the run uses
    local = {"local": getattr(algorithm, "local", LocalTraining())} if noisy else {}
    protocol = FedAvg(model=model, **local, **FEDAVG) if name == "fedavg" else LocalOnly(model=model)
    same = config.privacy.model_copy(update={"ledger": None, "epsilon_limit": None, "adaptive": False})
    rounds = config.evaluation.baseline_rounds if name == "fedavg" else 1
    return config.model_copy(
        update={
            "name": name,
            "algorithm": protocol,
            "num_server_rounds": rounds,
            "fraction_train": 1.0,
            "privacy": same if name == "fedavg" else PrivacyOptions(),
            "evaluation": config.evaluation.model_copy(update={"every": 0, "baselines": ()}),
            "runtime": config.runtime.model_copy(update={"run_folder": folder}),
        }
    )
