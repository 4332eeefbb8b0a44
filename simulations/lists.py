"""``python -m simulations.lists RUN --try STEP``: what steps before the lists would lose and gain, for a finished run.

Nothing is trained: the run's student recommends with and without the steps to the users whom the run measures. Choose
steps in a run with ``evaluation.target=validation``, and set ``lists.steps`` in the one that is reported.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.table import Table

from fedkd.cli.terminal import guarded, plain_table, say, show, start
from fedkd.deployment.students import student_of_run
from fedkd.errors import UserError
from fedkd.evaluation.evaluator import Lists, model_scores, recommend
from fedkd.lists.adjustment import Adjustment
from fedkd.lists.base import ListStep
from fedkd.lists.changes import change_text, changes
from fedkd.lists.options import ListOptions
from fedkd.models.base import Recommender
from fedkd.ragged import Ragged
from fedkd.runs.federation import Federation, federation
from fedkd.runs.mistakes import validated

BEFORE = "before"


class Lister:
    """The lists of a finished run's student, with any steps.

    Parameters
    ----------
    student : Recommender
        The student.
    together : Federation
        The run's data.
    shown : int
        The first items of every history that are shown, as of a new user; 0 for all.
    """

    def __init__(self, student: Recommender, together: Federation, shown: int) -> None:
        self.student, self.together = student, together
        self.shown = first_items(together.fold.history.histories, shown) if shown else None

    def lists(self, steps: Sequence[ListStep]) -> Lists:
        """Return the lists of the private users after some steps."""
        public = self.together.fold.train.take(self.together.partition.public)
        scorer = Adjustment.learn(steps, public).of(model_scores(self.student), self.shown)
        return recommend(scorer, self.together.fold, self.together.private)


def first_items(histories: Ragged, count: int) -> Ragged:
    """Return the oldest items of every history, at most so many."""
    return histories.where(np.arange(len(histories.values)) - histories.indptr[histories.row_index] < count)


def tables(rows: dict[str, dict[str, Any]]) -> Iterator[Table]:
    """Yield a table for every property: the mean after some steps, and the paired change with its interval."""
    for name, plain in next(iter(rows.values())).items():
        shown = plain_table("steps", numbers=(name, "change"))
        shown.add_row(BEFORE, f"{plain['before']:.4f}", "")
        for steps, row in rows.items():
            shown.add_row(steps, f"{row[name]['after']:.4f}", change_text(row[name]))
        yield shown


@guarded
def main(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    tried: Annotated[
        list[str],
        typer.Option("--try", help="Steps as lists.steps takes them, several with semicolons; may be given again."),
    ],
    shown: Annotated[
        list[int] | None,
        typer.Option(help="Show so many of the first items of a history, as of a new user; may be given again.", min=0),
    ] = None,
) -> None:
    """Print what steps before the lists change, for users of all lengths or for new ones."""
    torch.set_num_threads(1)
    config, _, student = student_of_run(run)
    if config.runtime.server_data is not None:
        raise UserError(f"{run} is a run of a real server, which does not have its clients' histories")
    options = {text: validated(ListOptions, {"steps": text}, "--try") for text in tried}
    together = federation(config)
    say(f"{config.name}: private users, {config.evaluation.target} part; changes are paired over users, 95 % intervals")
    for count in shown or [0]:
        lister = Lister(student, together, count)
        say(f"\nthe first {count} items of a history shown:" if count else "\nwhole histories shown:")
        before = lister.lists(())
        rows = {text: changes(before, lister.lists(own.read), together.fold) for text, own in options.items()}
        for one in tables(rows):
            say()
            show(one)


if __name__ == "__main__":
    start(main)
