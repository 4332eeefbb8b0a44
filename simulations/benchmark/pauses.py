"""What times are worth where order counts: statistics of whole histories, of what comes next, and of it in sessions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from fedkd.cli.terminal import guarded, say
from fedkd.errors import UserError
from fedkd.evaluation.evaluator import evaluate, mean_interval, model_scores
from fedkd.protocols.residual import Residual
from fedkd.protocols.residual.choice import Learner, next_in_session, next_item, plain, sessions_pay
from fedkd.runs.config import Config, load
from fedkd.runs.federation import federation

METRIC = "ndcg@10"
LEARNERS: Mapping[str, Learner] = {"next item": next_item, "in sessions": next_in_session, "no order": plain}


def compared(config: Config) -> list[str]:
    """Return a line about every statistic of everyone's histories, the first one with its whole value.

    Raises
    ------
    UserError
        The protocol is another, or the data have no times.
    """
    together, how = federation(config), config.algorithm
    train = together.fold.train
    if not isinstance(how, Residual) or train.times is None:
        raise UserError("pauses are compared for algorithm.name = residual and data with times")
    lines, first = [], None
    for name, learner in LEARNERS.items():
        scorer = model_scores(learner(train, how))
        found = evaluate(scorer, together.fold, together.private).column(METRIC)
        first = found if first is None else first
        more = "{mean:+.4f} ({low:+.4f} to {high:+.4f})".format(**mean_interval(found - first))
        lines.append(f"{name:12s} {METRIC} {found.mean():.4f}  more {more}")
    told = sessions_pay(train.take(together.partition.public), how)
    return [*lines, f"by the public users, sessions {'pay' if told else 'do not pay'}"]


@guarded
def main(
    conf: Annotated[Path, typer.Argument(help="The configuration (TOML) of a run of the residual protocol.")],
    changes: Annotated[list[str] | None, typer.Option("--set", help="A setting to change, as key=value.")] = None,
) -> None:
    """Print what next-item statistics of sessions find beside those of whole histories."""
    for line in compared(load(conf, changes or [])):
        say(line, whole=True)
