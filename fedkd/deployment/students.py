"""The student of a run folder, and of the arrays of an exported one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.data.catalogue import FILE as CATALOGUE
from fedkd.data.catalogue import Catalogue
from fedkd.deployment.compression.base import Compression
from fedkd.deployment.compression.table import COMPRESSIONS, compressed
from fedkd.deployment.folder import ExportFolder
from fedkd.errors import UserError
from fedkd.lists.adjustment import FILE as LISTS
from fedkd.lists.adjustment import Adjustment
from fedkd.models.arrays import load_arrays
from fedkd.models.base import Recommender
from fedkd.protocols.base import GlobalStudent
from fedkd.runs.config import Config, validate
from fedkd.runs.folder import RunFolder
from fedkd.runs.mistakes import validated

STUDENT = "student.safetensors"


def student_of_run(path: Path) -> tuple[Config, Catalogue, Recommender]:
    """Return the configuration, the items and the student of a finished run.

    Raises
    ------
    UserError
        There is no run, it has not finished, its protocol has no single student, or a file is damaged.
    """
    folder = RunFolder.open(path)
    config = folder.config()
    if not folder.finished:
        raise UserError(f"{path} has no summary.json: the run has not finished; continue it with --resume {path}")
    if not isinstance(config.algorithm, GlobalStudent) or not (path / STUDENT).exists():
        raise UserError(
            f"{path} has no {STUDENT}: with algorithm {config.algorithm.name} every client keeps a student of its own, "
            "so there is no single one for everybody; run another algorithm, for example residual or fedavg"
        )
    catalogue = Catalogue.read(path / CATALOGUE)
    return config, catalogue, restored(config.algorithm, catalogue, folder.read_arrays(STUDENT), path / STUDENT)


def adjustment_of_run(path: Path, config: Config) -> Adjustment:
    """Return what becomes of the scores of a run's student; a ``UserError`` if its file is missing or damaged."""
    steps = config.lists.read
    return Adjustment.restore(steps, RunFolder(path).read_arrays(LISTS)) if steps else Adjustment()


def restored(
    algorithm: GlobalStudent, catalogue: Catalogue, arrays: Mapping[str, NDArray[Any]], place: Path
) -> Recommender:
    """Return the student of some arrays; ``place`` is where they come from, for the error."""
    try:
        return algorithm.restored_student(catalogue, arrays).eval()
    except (KeyError, RuntimeError, ValueError, AssertionError) as error:
        raise UserError(
            f"{place} does not hold the student of algorithm {algorithm.name} for {len(catalogue)} items "
            f"({type(error).__name__}); restore it, or run again"
        ) from None


def recipe(config: Config, model: Recommender, small: Recommender, steps: Sequence[Compression]) -> dict[str, Any]:
    """Return all that is needed to build a compressed student again: protocol, steps, and shapes of what was packed."""
    kept = small.state_dict().keys()
    return {
        "algorithm": config.algorithm.model_dump(mode="json", by_alias=True),
        "compression": [one.model_dump(mode="json", by_alias=True) for one in steps],
        "packed": {name: list(tensor.shape) for name, tensor in model.state_dict().items() if name not in kept},
    }


def rebuilt(folder: ExportFolder, arrays: Mapping[str, NDArray[Any]]) -> Recommender:
    """Return the model of an exported folder whose arrays are given.

    Its class makes one of the same shapes, which the same steps pack; the arrays then take their places.
    """
    told, place = folder.manifest, folder.path / folder.manifest["model"]
    algorithm = validate({"algorithm": told["algorithm"]}).algorithm
    steps = [validated(COMPRESSIONS.find(one["kind"]), one, "the compression") for one in told["compression"]]
    if not isinstance(algorithm, GlobalStudent):
        raise UserError(f"{place} names algorithm {algorithm.name}, which has no student for everybody")
    blank = {name: np.zeros(shape, np.float32) for name, shape in told["packed"].items()}
    model = compressed(restored(algorithm, folder.catalogue, {**blank, **arrays}, place), steps)
    return load_arrays(model, arrays)
