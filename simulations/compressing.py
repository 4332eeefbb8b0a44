"""The steps that a gate tries on a trained student: each is made, exported and timed, before anybody is measured."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedkd.deployment.compression.table import compressed, steps
from fedkd.deployment.folder import ExportFolder
from fedkd.deployment.formats import FORMATS, history_length
from fedkd.deployment.scorers import RUNTIMES, ExportedModel, HistoryForm
from fedkd.errors import UserError
from fedkd.evaluation.cost import latency
from fedkd.evaluation.metrics import DEPTH, top_items
from fedkd.lists.adjustment import Adjustment
from fedkd.lists.base import Asked
from fedkd.models.base import Recommender
from fedkd.ragged import Ragged
from fedkd.runs.config import Config

FORMAT = "onnx"

MENDED = ("bytes", "latency-p50-ms", "latency-p95-ms")
"""The quantities that compression is for."""


@dataclass(frozen=True)
class Smaller:
    """A student that some steps made smaller, as it would be exported.

    Attributes
    ----------
    compression : str
        The steps, as `fedkd.deployment.compression.table.steps` reads them.
    program : ExportedModel
        The exported program.
    bytes : int
        Of its file.
    p50, p95 : float
        Median and 95th percentile of the milliseconds of a list, of one core's time.
    """

    compression: str
    program: ExportedModel
    bytes: int
    p50: float
    p95: float

    @classmethod
    def of(cls, student: Recommender, compression: str, history: Ragged, adjustment: Adjustment) -> "Smaller":
        """Make a student smaller, export it, and time the list of one history, as people are served it.

        Raises
        ------
        UserError
            The steps find nothing in this student, or it cannot be exported.
        """
        small = compressed(student, steps(compression))
        program, size = exported(small)
        depth = min(DEPTH, small.num_items)
        asked = Asked(history, history)
        p50, p95 = latency(lambda: top_items(adjustment(program.score(history), asked), history, depth))
        return cls(compression, program, size, p50, p95)

    def row(self) -> dict[str, object]:
        """Return the numbers as a model's row of a summary holds them."""
        return {"bytes": self.bytes, "latency-ms": {"p50": self.p50, "p95": self.p95}}


def exported(model: Recommender) -> tuple[ExportedModel, int]:
    """Return a model as its exported program, and the bytes of its file."""
    file, write = FORMATS[FORMAT]
    content = write(model)
    form = HistoryForm(model.num_items, history_length(model))
    folder = ExportFolder(Path(), {"format": FORMAT, "model": file}, {file: content})
    return ExportedModel(RUNTIMES[FORMAT](folder, 1), form), len(content)


def smaller(config: Config, student: Recommender, history: Ragged, adjustment: Adjustment) -> Iterator[Smaller]:
    """Yield what the steps that a gate may try make of a student; steps that find nothing in it are left out."""
    for compression in config.gate.compression:
        try:
            yield Smaller.of(student, compression, history, adjustment)
        except UserError:
            continue


def smallest_bytes(config: Config, blank: Recommender) -> float:
    """Return the fewest bytes of numbers that any of the steps leave of a student; infinite without any."""
    found = [float("inf")]
    for compression in config.gate.compression:
        try:
            found.append(compressed(blank, steps(compression)).size()[1])
        except UserError:
            continue
    return min(found)


def check(config: Config) -> None:
    """Refuse steps that there are not, with a ``UserError``, before anything is trained."""
    for compression in config.gate.compression if config.gate.requirements else ():
        steps(compression)
