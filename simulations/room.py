"""The check, before a run begins, that its memory and its disk suffice."""

from pathlib import Path

from fedkd.distillation.closed_forms import is_dense
from fedkd.errors import UserError
from fedkd.evaluation.rows import BY_NAME
from fedkd.messages.catalogue import catalogue_bytes
from fedkd.protocols.low_rank import LowRankStudent
from fedkd.protocols.trained import TrainedStudent
from fedkd.runs.config import Config
from fedkd.runs.federation import Federation
from fedkd.runs.machine import available_memory, existing, free_disk
from simulations.baselines import federated_baseline, students_memory, unmade
from simulations.folder_size import report_bytes
from simulations.gate import needs_own_run

CLIENT_BLOCKS = 8192
"""Bytes of the disk that a client's folder and a small file in it take."""

ANSWER_BITS = 13
"""About the bits of a number in an answer, which is eight bytes in the sum."""


def check_room(config: Config, together: Federation, folder: Path) -> None:
    """Refuse a run that would fill the disk or the memory, with a ``UserError`` that says what mends it."""
    need, free = disk_needed(config, together), free_disk(folder)
    if need > free:
        raise UserError(
            f"the run needs about {_size(need)} of the disk, and {_size(free)} are free in {existing(folder)}; give "
            "--out a folder on a larger disk, or free some"
        )
    need, free = memory_needed(config, together), available_memory()
    if need > free:
        raise UserError(
            f"the run needs about {_size(need)} more memory, and {_size(free)} are available; close other programs, "
            f"{_smaller(config)}"
        )


def disk_needed(config: Config, together: Federation) -> int:
    """Return about the bytes of the disk that a run takes at most: its clients' states, its models, its report."""
    catalogue, clients = together.fold.train.catalogue, together.partition.num_clients
    shown = 2 + len(config.evaluation.baselines)
    beside = catalogue_bytes(catalogue) + report_bytes(shown, len(together.private), config.num_server_rounds)
    kept = [config.algorithm.kept_bytes(catalogue) * min(2, config.num_server_rounds)]
    for name in config.evaluation.baselines if config.evaluation.keep_baselines else ():
        if BY_NAME[name].kind == "protocol" and not unmade(name, config, together):
            kept.append(federated_baseline(name, config, folder=Path()).algorithm.kept_bytes(catalogue))
    once = clients * (CLIENT_BLOCKS + sum(kept)) + model_bytes(config, together) + beside
    return once + (beside if needs_own_run(config) else 0)  # its models go before those of the run come


def model_bytes(config: Config, together: Federation) -> int:
    """Return about the bytes of the models in files of their own, and of the checkpoint."""
    algorithm, train = config.algorithm, together.fold.train
    items, users = train.num_items, len(together.partition.public)
    if not isinstance(algorithm, LowRankStudent):
        return 0
    teacher = items if is_dense(items) else 2 * (users + 64)  # in factors it is in the checkpoint, too
    return 4 * items * (teacher + 4 * algorithm.rank) + _sum_bytes(config)


def _sum_bytes(config: Config) -> int:
    """Return about the bytes of the sum of all answers in the checkpoint, where the upload has a limit."""
    limit = getattr(config.algorithm, "upload_budget_bytes", 0)
    return 8 * 8 * limit // ANSWER_BITS


def memory_needed(config: Config, together: Federation) -> int:
    """Return about the bytes that a run needs beside its data: the teacher's factor, or the students of a cohort."""
    train, algorithm = together.fold.train, config.algorithm
    if isinstance(algorithm, LowRankStudent):
        return 2 * 8 * train.num_items * len(together.partition.public)
    if isinstance(algorithm, TrainedStudent):
        return students_memory(config, together)
    return 0


def _smaller(config: Config) -> str:
    """Return the key that makes the largest part of a run's memory smaller."""
    if isinstance(config.algorithm, LowRankStudent):
        return f"or lower partition.public-fraction, which is {config.partition.public_fraction:g}"
    return f"or lower runtime.cohort-size, which is {config.runtime.cohort_size}"


def _size(number: int) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= 10**9 else f"{number / 1e6:,.1f} MB"
