"""Short measurements on this machine, from which the cost of a run's stages is predicted."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy import sparse

from fedkd.data.interactions import Interactions
from fedkd.distillation.closed_forms import RANK, is_compressed, is_dense
from fedkd.evaluation.evaluator import PerUser, evaluate, intervals, model_scores
from fedkd.evaluation.metrics import METRICS
from fedkd.evaluation.rows import BY_NAME, EASE
from fedkd.models.base import Recommender
from fedkd.models.ease import BYTES_PER_PAIR, ease_weights
from fedkd.models.item_knn import fit_item_knn
from fedkd.models.popularity import fit_popularity
from fedkd.models.watching import shown_by
from fedkd.protocols.base import Setup
from fedkd.protocols.low_rank import has_closed_form
from fedkd.runs.config import Config
from fedkd.runs.dry_simulation import DrySimulation
from fedkd.runs.federation import Federation
from fedkd.runs.machine import resident_memory
from fedkd.training.central import PHASES
from simulations.baselines import federated_baseline, fits, students_memory, unmade
from simulations.folder_size import FolderSize
from simulations.student_tuning import number

T = TypeVar("T")

ENOUGH = 3.0
"""Seconds of a training by steps from which its whole length is predicted."""

SAMPLE = 512
"""Users or items on which something is measured whose cost grows with their number."""


class Stopwatch:
    """The seconds since it was made."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def seconds(self) -> float:
        """Return the seconds so far."""
        return time.monotonic() - self._begun


@dataclass
class Beginning:
    """A way to look at long loops that ends trainings after their first steps.

    Attributes
    ----------
    spared : float
        The seconds that their other steps would have taken.
    """

    spared: float = 0.0

    def __call__(self, work: Iterable[Any], total: int, name: str) -> Iterator[Any]:
        """Yield the steps of a training until there are enough, and all pieces of any other work."""
        watch = Stopwatch()
        for done, piece in enumerate(work, start=1):
            yield piece
            if name in PHASES and (passed := watch.seconds()) > ENOUGH:
                self.spared += passed / done * (total - done)
                return


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return the seconds that some work takes, and its result, in which trainings by steps have only begun."""
    watch, beginning = Stopwatch(), Beginning()
    with shown_by(beginning):
        found = work()
    return watch.seconds() + beginning.spared, found


@dataclass(frozen=True)
class Fit:
    """The predicted cost of a baseline, training and measurement.

    Attributes
    ----------
    seconds : float
        On this machine as it is now.
    memory : int
        Resident bytes of the process while it is trained; 0 where the prediction has trained a part of it itself.
    disk, disk_at_most : int
        Bytes of the disk that it leaves in the run's folder, and that it takes while it is trained.
    """

    seconds: float = 0.0
    memory: int = 0
    disk: int = 0
    disk_at_most: int = 0


def rating(model: Recommender, together: Federation) -> float:
    """Return the seconds in which a model's lists for all private users are made."""
    users = together.private[:SAMPLE]
    watch = Stopwatch()
    evaluate(model_scores(model), together.fold, users)
    return watch.seconds() * len(together.private) / max(1, len(users))


def resampling(together: Federation) -> float:
    """Return the seconds in which one row of metrics gets its intervals."""
    users = together.private
    watch = Stopwatch()
    intervals(PerUser(users, np.zeros((len(users), len(METRICS)))))
    return watch.seconds()


def fitting(name: str, config: Config, together: Federation, teaching: float) -> Fit:
    """Return the predicted cost of a baseline; nothing of one that is left out.

    Parameters
    ----------
    name : str
        The baseline.
    config : Config
        The run's configuration.
    together : Federation
        Everyone's data.
    teaching : float
        Seconds of a round's teaching, for what is trained as the teacher is.
    """
    if unmade(name, config, together):
        return Fit()
    if BY_NAME[name].kind == "protocol":
        return _federated(name, config, together)
    train, lists = together.fold.train, rating(fit_popularity(together.fold.train), together)
    lists += (6 if BY_NAME[name].sliced else 1) * resampling(together)
    if name == EASE and fits(train.num_items):
        return Fit(lists + solving(train.num_items), resident_memory() + BYTES_PER_PAIR * train.num_items**2)
    if name == "centralised":
        return _centralised(config, together, teaching, lists)
    if name == "centralised-teacher":
        return Fit(lists + _by_gradient(config.algorithm.centralised_teacher, config, together))
    if BY_NAME[name].alone:
        return Fit(
            lists + _alone(config, together) * (number(config.algorithm) if BY_NAME[name].alone == "tuned" else 1)
        )
    seconds = {"popularity": 0.0, "item-knn": neighbours(train), EASE: compressing(train)}
    return Fit(lists + seconds.get(name, teaching))


def solving(items: int) -> float:
    """Return the seconds in which EASE of a catalogue is solved, whose cost is cubic."""
    side = min(items, 1500)
    watch = Stopwatch()
    ease_weights(np.eye(side) + 1.0, 1.0)
    return watch.seconds() * (items / side) ** 3


def neighbours(train: Interactions) -> float:
    """Return the seconds in which item-kNN finds the neighbours of all items."""
    users = np.arange(0, train.num_users, max(1, train.num_users // SAMPLE))
    watch = Stopwatch()
    fit_item_knn(train.take(users))
    return watch.seconds() * float(1.0 + np.log2(train.num_users / len(users)))


def compressing(train: Interactions) -> float:
    """Return the seconds in which many histories are compressed to a factor, and the factor to EASE."""
    columns = RANK // 8
    rows, block = train.matrix(np.float32), np.ones((train.num_items, columns), np.float32)
    watch = Stopwatch()
    sparse.csr_array(rows.T) @ (rows @ block)
    np.linalg.qr(block)
    return watch.seconds() * 8 * 8


def _centralised(config: Config, together: Federation, teaching: float, lists: float) -> Fit:
    """Return the cost of the model of everyone's data; one that is trained by steps is tried on some users."""
    train = together.fold.train
    if not has_closed_form(config.algorithm):
        return Fit(lists + _by_gradient(config.algorithm.centralised, config, together))
    if large := config.algorithm.centralised_bytes(train, together.setup(config)):
        return Fit(lists + teaching, resident_memory() + large)
    if is_compressed(train.num_users, train.num_items):
        return Fit(lists + compressing(train) + teaching)
    rows = train.num_users * train.num_items
    pairs = BYTES_PER_PAIR * train.num_items**2 if is_dense(train.num_items) else 8 * rows
    return Fit(lists + teaching * max(1.0, rows / 4e7), resident_memory() + pairs + 12 * rows)


def _by_gradient(
    trained: Callable[[Interactions, Setup], Recommender | None], config: Config, together: Federation
) -> float:
    """Return the seconds in which a model learns from everyone's data by steps, of which some users are tried."""
    train = together.fold.train
    users = np.arange(min(SAMPLE, train.num_users))
    seconds, _ = timed(lambda: trained(train.take(users), together.setup(config)))
    return seconds * train.num_users / len(users)


def _alone(config: Config, together: Federation) -> float:
    """Return the seconds in which public users alone teach the student."""
    return timed(lambda: config.algorithm.undistilled(together.setup(config)))[0]


def _federated(name: str, config: Config, together: Federation) -> Fit:
    """Return the cost of a baseline that is a federation, of which one cohort plays a round."""
    other = federated_baseline(name, config, Path())
    few = np.arange(min(32, config.runtime.cohort_size, together.partition.num_clients))
    next(DrySimulation(other, together, few[:2]).play())  # the first time is slower than all others
    simulation = DrySimulation(other, together, few)
    learning, played = timed(lambda: next(simulation.play()))
    learning -= played.teaching_seconds
    asks = other.algorithm.deploy(played.state, few, 1)
    measuring = timed(lambda: simulation.measured(asks))[0]
    share = together.partition.num_clients / len(few)
    seconds = other.num_server_rounds * (learning * share + played.teaching_seconds) + measuring * share
    student = other.algorithm.student(played.state)
    size = FolderSize(simulation, played.state, () if student is None else (student,))
    most = size.written(other.num_server_rounds)
    memory = resident_memory() + students_memory(other, together)
    return Fit(seconds, memory, most if config.evaluation.keep_baselines else size.texts(), most)
