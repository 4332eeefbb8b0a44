"""``python -m simulations.convergence RUN``: how soon a student in distillation is nearly as good as in the end.

The student of a finished run is distilled once more from the run's teacher, and looked at on its way: by public users
who are held out, as early stopping does, and by the private users whom the run measures, which no server could. Seconds
are of the processor, without the looks.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.table import Table

from fedkd.cli.progress import tracked
from fedkd.cli.terminal import guarded, plain_table, say, show, start
from fedkd.distillation.held_out import FEWEST
from fedkd.distillation.server_student import LOOK, looked_at_by
from fedkd.errors import UserError
from fedkd.evaluation.evaluator import evaluate, model_scores
from fedkd.evaluation.metrics import PRIMARY
from fedkd.models.base import Recommender
from fedkd.models.device import use_device
from fedkd.models.watching import shown_by
from fedkd.protocols.residual import Residual
from fedkd.report.formatting import percent
from fedkd.runs.config import Config
from fedkd.runs.federation import Federation, federation
from fedkd.runs.folder import RunFolder
from server.run_writer import RunWriter

SHARES = (0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class Point:
    """A look at a student: steps and seconds of training until then, its quality for public and private users."""

    steps: int
    seconds: float
    public: float
    private: float


@dataclass
class Looks:
    """The course of a training.

    Attributes
    ----------
    together : Federation
        The data of which the private users judge.
    steps : int
        Steps in all; the last look comes after them.
    points : list of Point
        The looks.
    begun : float
        The processor's time when training began, or when it would have, had there been no looks.
    """

    together: Federation
    steps: int
    points: list[Point] = field(default_factory=list)
    begun: float = field(default_factory=time.process_time)

    def __call__(self, student: Recommender, public: float) -> None:
        """Add a look; its own time does not count."""
        now = time.process_time()
        found = evaluate(model_scores(student), self.together.fold, self.together.private).means()[PRIMARY]
        steps = min(LOOK * (len(self.points) + 1), self.steps)
        self.points.append(Point(steps, now - self.begun, public, found))
        self.begun += time.process_time() - now


def course(config: Config, folder: RunFolder) -> list[Point]:
    """Return the course of a new distillation of a run's student.

    Raises
    ------
    UserError
        The student is a closed form, or of a protocol that distils it otherwise.
    """
    algorithm = config.algorithm
    if not isinstance(algorithm, Residual) or algorithm.model is None:
        raise UserError(
            "its student is not distilled step by step from a teacher of the residual protocol, so there is no course; "
            "make a run with --set algorithm.name=residual --set algorithm.model.family=cnn"
        )
    together = federation(config)
    state = RunWriter(folder, config).progress(together.setup(config)).state
    teacher, linear = algorithm.teacher(state), algorithm.closed_forms(state)[1] if algorithm.wide else None
    assert teacher is not None
    how = algorithm.distillation.model_copy(update={"patience": algorithm.distillation.steps})  # looks, and never stops
    looks = Looks(together, how.steps)
    with looked_at_by(looks):
        algorithm.model_copy(update={"distillation": how}).distilled(state, teacher, linear)
    if not looks.points:
        raise UserError(
            f"{len(together.partition.public)} public users are too few to hold one out, at least {FEWEST} are needed; "
            "make a run with a larger partition.public-fraction"
        )
    return looks.points


def reached(points: Sequence[Point], share: float) -> Point:
    """Return the first look at which private users have a share of the quality in the end."""
    return next(point for point in points if point.private >= share * points[-1].private)


def stopped(points: Sequence[Point], patience: int) -> tuple[Point, Point]:
    """Return the look whose student is kept, and the one after which training stops, with so much patience."""
    best = points[0]
    for number, point in enumerate(points):
        best = point if point.public > best.public else best
        if number - points.index(best) >= patience:
            return best, point
    return best, points[-1]


def time_table(points: Sequence[Point]) -> Table:
    """Return when the student has reached shares of its quality in the end."""
    shown = plain_table("share of the quality in the end", numbers=(PRIMARY, "steps", "seconds"))
    rows = {f"{share:.0%}": reached(points, share) for share in SHARES} | {"the end": points[-1]}
    for name, point in rows.items():
        shown.add_row(name, f"{point.private:.4f}", f"{point.steps:,}", f"{point.seconds:.1f}")
    return shown


def stop_table(points: Sequence[Point], patiences: Sequence[int]) -> Table:
    """Return what early stopping would keep and spare."""
    shown = plain_table("patience, looks", numbers=("stops at step", "seconds", "keeps step", PRIMARY, "of the end"))
    for patience in patiences:
        kept, end = stopped(points, patience)
        share = kept.private / points[-1].private if points[-1].private else 0.0
        cells = (f"{end.steps:,}", f"{end.seconds:.1f}", f"{kept.steps:,}", f"{kept.private:.4f}", percent(share))
        shown.add_row(str(patience), *cells)
    return shown


@guarded
def main(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run whose student is a network.")],
    patience: Annotated[
        list[int] | None, typer.Option(help="Looks without gain until it stops; may be given again.", min=1)
    ] = None,
) -> None:
    """Print when a distilled student is nearly as good as in the end, and what early stopping would keep and spare."""
    folder = RunFolder.open(run)
    config = folder.config()
    torch.set_num_threads(config.runtime.threads)
    use_device(config.runtime.device)
    with shown_by(tracked):
        points = course(config, folder)
    say(f"{config.name}: private users, {config.evaluation.target} part, one look every {LOOK} steps")
    show(time_table(points))
    say("\nearly stopping by public users who are held out (algorithm.distillation.patience):")
    show(stop_table(points, patience or (3, 5, 10)))


if __name__ == "__main__":
    start(main)
