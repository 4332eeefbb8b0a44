"""The training of baselines, the rows of the results beside teacher and student."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from fedkd.data.interactions import Interactions
from fedkd.distillation.closed_forms import RANK, ease_teacher, is_compressed, weighted_gram
from fedkd.distillation.residual import UserWeights, ridge
from fedkd.errors import UserError
from fedkd.evaluation.rows import BY_NAME, EASE, USUAL
from fedkd.gate.options import GateOptions
from fedkd.lists.options import ListOptions
from fedkd.models.arrays import working_bytes
from fedkd.models.base import Recommender
from fedkd.models.decayed_linear import Decayed
from fedkd.models.ease import BYTES_PER_PAIR, fit_ease
from fedkd.models.item_knn import fit_item_knn
from fedkd.models.linear import LinearConfig, LowRank
from fedkd.models.popularity import fit_popularity
from fedkd.privacy.options import PrivacyOptions
from fedkd.protocols.base import State
from fedkd.protocols.fedavg import FedAvg
from fedkd.protocols.local_only import LocalOnly
from fedkd.protocols.low_rank import has_closed_form
from fedkd.protocols.residual import Residual
from fedkd.protocols.trained import TrainedStudent
from fedkd.runs.config import Config
from fedkd.runs.federation import Federation, federation
from fedkd.runs.machine import room_for_arrays
from fedkd.training.profiles import ClientOptions
from simulations.student_tuning import number

LARGE = 20_000
"""Items of a catalogue for which a student is not made again and again without being asked."""


def central_ease(train: Interactions, config: Config) -> Recommender:
    """Return EASE with the weights and the ridge that the federated teacher uses, on any training set.

    Where items x items numbers do not fit the memory, it is EASE of the compressed Gram matrix.
    """
    weights, strength = _teacher_rule(config)
    user_weights, l2 = weights.of(train.histories.lengths).astype(np.float64), ridge(strength, train, weights)
    if fits(train.num_items):
        return fit_ease(train, l2, user_weights)
    return ease_teacher(weighted_gram(train, user_weights), l2, dense=False)


def public_ease(public: Interactions, config: Config) -> Recommender:
    """Return the same for few users of a catalogue of any size, without an array of items x items."""
    weights, strength = _teacher_rule(config)
    user_weights = weights.of(public.histories.lengths).astype(np.float64)
    return ease_teacher(weighted_gram(public, user_weights), ridge(strength, public, weights))


def fits(items: int) -> bool:
    """Return whether EASE with items x items numbers fits the memory."""
    return BYTES_PER_PAIR * items**2 <= room_for_arrays()


def _teacher_rule(config: Config) -> tuple[UserWeights, float]:
    rule = config.algorithm if isinstance(config.algorithm, Residual) else Residual()
    return UserWeights(1000, rule.damping), rule.regularisation


def unanswered(config: Config) -> Recommender | None:
    """Return the student of a run in which no client answers; None where clients keep theirs to themselves."""
    return config.algorithm.student(_silence(config))


def undistilled(config: Config, together: Federation) -> Recommender | None:
    """Return the run's student as public users' hard labels alone make it; None where there is none."""
    if config.algorithm.undistilled_when_silent:
        return unanswered(config)
    return config.algorithm.undistilled(together.setup(config))


def trained_as(name: str, config: Config) -> str:
    """Return the name under which a baseline is trained, as several rows may be of one model."""
    if BY_NAME[name].alone and config.algorithm.undistilled_when_silent:
        return "public-student"
    return "undistilled" if BY_NAME[name].alone else name


def public_teacher(config: Config, together: Federation) -> Recommender:
    """Return EASE of the public users, or the run's own teacher without answers where it is of another kind.

    That is a neural one, or one that learns what comes next.
    """
    if config.algorithm.learns_from_public:
        own = config.algorithm.teacher(_silence(config))
        if own is not None and (isinstance(own, Decayed) or config.algorithm.neural_teacher):
            return own
    return public_ease(_public(together), config)


@lru_cache(maxsize=1)
def _silence(config: Config) -> State:
    """Return the state after a round in which no client answers; two baselines ask for it."""
    return config.algorithm.unanswered(federation(config).setup(config))


def _public(together: Federation) -> Interactions:
    return together.fold.train.take(together.partition.public)


CENTRAL: dict[str, Callable[[Config, Federation], Recommender | None]] = {
    "popularity": lambda config, together: fit_popularity(together.fold.train),
    "item-knn": lambda config, together: fit_item_knn(together.fold.train),
    "ease": lambda config, together: central_ease(together.fold.train, config),
    "public-teacher": public_teacher,
    "public-student": lambda config, together: unanswered(config),
    "undistilled": undistilled,
    "tuned": undistilled,  # with other settings
    "centralised-teacher": lambda config, together: config.algorithm.centralised_teacher(
        together.fold.train, together.setup(config)
    ),
    "centralised": lambda config, together: config.algorithm.centralised(together.fold.train, together.setup(config)),
}
"""The training of every row of kind ``central``."""


def central_model(name: str, config: Config, together: Federation) -> Recommender:
    """Return a baseline that is trained in one place.

    Raises
    ------
    UnmadeError
        It cannot be made of these data, or the protocol has none.
    """
    if reason := unmade(name, config, together):
        raise UnmadeError(reason)
    model = CENTRAL[name](config, together)
    if model is None:
        raise UnmadeError(f"algorithm {config.algorithm.name} has none")
    return model


class UnmadeError(UserError):
    """A baseline that is left out for a reason known beforehand; nothing has failed."""


def unmade(name: str, config: Config, together: Federation) -> str:
    """Return why a baseline cannot be made of these data, or would be too much work; empty where it can."""
    if (reason := config.unmakeable(name)) or BY_NAME[name].kind != "protocol":
        return reason or _often(name, config, together)
    most, updates = config.evaluation.baseline_updates, client_updates(name, config, together)
    if updates <= most:
        return ""
    fewer = ", or lower evaluation.baseline-rounds" if name == "fedavg" else ""
    return (
        f"its {together.partition.num_clients:,} clients would change {updates:.2g} numbers in all, and "
        f"evaluation.baseline-updates allows {most:.2g}; set it to {1.01 * updates:.2g}{fewer}"
    )


def _often(name: str, config: Config, together: Federation) -> str:
    """Return why a student is not tuned unless somebody asks for it: it takes long where the catalogue is large."""
    items, asked = together.fold.train.num_items, config.evaluation.baselines
    if name != "tuned" or items < LARGE or set(asked) != set(USUAL):
        return ""
    return (
        f"the student of {items:,} items would be made {number(config.algorithm)} times; name it in "
        "evaluation.baselines to have it"
    )


def client_updates(name: str, config: Config, together: Federation) -> float:
    """Return clients x rounds x the student's parameters: the numbers that a federated baseline trains."""
    other = federated_baseline(name, config, Path())
    assert isinstance(other.algorithm, TrainedStudent)
    student = other.algorithm.blank_student(together.fold.train.catalogue)
    return float(together.partition.num_clients * other.num_server_rounds * student.size()[0])


def students_memory(config: Config, together: Federation) -> int:
    """Return about the bytes of a cohort's students in training: they, their gradients and their answers."""
    assert isinstance(config.algorithm, TrainedStudent)
    cohort = min(config.runtime.cohort_size, together.partition.num_clients)
    return 3 * cohort * working_bytes(config.algorithm.blank_student(together.fold.train.catalogue))


def compressed(name: str, model: Recommender, config: Config, together: Federation) -> str:
    """Return what is said of a baseline that was made of a compressed Gram matrix; empty of others."""
    train = together.fold.train
    everyone = name == "centralised" and has_closed_form(config.algorithm) and isinstance(model, LowRank)
    everyone = everyone and is_compressed(train.num_users, train.num_items)
    if not everyone and (name != EASE or fits(train.num_items)):
        return ""
    items, room = train.num_items, room_for_arrays()
    return (
        f"learns from the {RANK} strongest directions of everyone's histories and how popular items are: "
        f"{items:,} x {items:,} numbers would take {BYTES_PER_PAIR * items**2 / 1e9:.1f} GB, of {room / 1e9:.1f}"
    )


def federated_baseline(name: str, config: Config, folder: Path) -> Config:
    """Return the configuration of a baseline that is a protocol itself: FedAvg of the student, or no exchange at all.

    It trains a student of the same family and size on the same clients for ``evaluation.baseline-rounds`` rounds.
    Without exchange clients have the students of their device profiles; FedAvg has one shape.
    FedAvg has the same budgets, in a ledger of its own, because it is an alternative to the run. Where nothing is
    exchanged, nothing needs protection.
    """
    algorithm = config.algorithm
    model = getattr(algorithm, "model", None) or LinearConfig(width=getattr(algorithm, "rank", 32))
    noisy = config.privacy.student.epsilon is not None  # noisy students take steps of the size that the run uses
    local = {"local": algorithm.local} if noisy and hasattr(algorithm, "local") else {}
    alone = LocalOnly(model=model, keep=config.evaluation.keep_baselines)
    protocol = FedAvg(model=model, **local) if name == "fedavg" else alone
    same = config.privacy.model_copy(update={"ledger": None, "epsilon_limit": None, "adaptive": False})
    rounds = config.evaluation.baseline_rounds if name == "fedavg" else 1
    return config.model_copy(
        update={
            "name": name,
            "algorithm": protocol,
            "clients": config.clients if protocol.profiled() else ClientOptions(),
            "num_server_rounds": rounds,
            "fraction_train": 1.0,
            "privacy": same if name == "fedavg" else PrivacyOptions(),
            "evaluation": config.evaluation.model_copy(update={"every": 0, "baselines": ()}),
            "gate": GateOptions(),
            "lists": ListOptions(),
            "runtime": config.runtime.model_copy(update={"run_folder": folder}),
        }
    )
