"""Quality on a catalogue of many niches: the default protocol's pairs and references of the same bytes beside EASE."""

from collections.abc import Iterator
from typing import Annotated

import typer

from fedkd.cli.terminal import guarded, say
from fedkd.distillation.residual import sizes_for_budget
from fedkd.evaluation.evaluator import evaluate, model_scores
from fedkd.models.base import Recommender
from fedkd.models.ease import fit_ease
from fedkd.models.item_knn import fit_item_knn
from fedkd.models.popularity import fit_popularity
from fedkd.runs.config import load
from fedkd.runs.federation import Federation, federation
from fedkd.runs.in_memory import play
from simulations.baselines import central_model

METRICS = ("recall@20", "ndcg@20")
LEVELS = 7
"""The largest weight of a user in the default protocol."""


def settings(users: int, items: int, budget: int, target: str) -> list[str]:
    """Return the configuration of the default protocol on check-ins."""
    size = f"data.check-ins.users={users}", f"data.check-ins.items={items}"
    bytes_up = f"algorithm.upload-budget-bytes={budget}"
    return ["data.source=check-ins", *size, bytes_up, f"evaluation.target={target}", "runtime.threads=1"]


def references(together: Federation, budget: int) -> list[str]:
    """Return what asks for references of the same bytes instead of what the rule chooses."""
    sizes = sizes_for_budget(together.fold.train.num_items, len(together.private), LEVELS, budget)
    return [f"algorithm.references={sizes[0]}", f"algorithm.panel={sizes[1]}"]


def models(users: int, items: int, budgets: list[int], target: str, l2: float) -> Iterator[tuple[str, Recommender]]:
    """Yield the models with their names, everyone's first."""
    config = load(None, settings(users, items, budgets[0], target))
    together = federation(config)
    train = together.fold.train
    yield "EASE", fit_ease(train, l2)
    yield "item-kNN", fit_item_knn(train)
    yield "popularity", fit_popularity(train)
    yield "central pair model", central_model("centralised", config, together)
    for budget in budgets:
        keys = settings(users, items, budget, target)
        for name, more in (("chosen", []), ("references", references(together, budget))):
            done = play(load(None, [*keys, *more]))
            assert done.teacher is not None
            assert done.student is not None
            yield f"{name}, {budget:,} bytes: teacher", done.teacher
            yield f"{name}, {budget:,} bytes: student", done.student


@guarded
def main(
    users: Annotated[int, typer.Option(help="Users.")] = 6000,
    items: Annotated[int, typer.Option(help="Places; EASE takes 12 bytes for every pair of them.")] = 8200,
    budgets: Annotated[str, typer.Option(help="Bytes up a client, separated by commas.")] = "50000,200000,400000",
    target: Annotated[str, typer.Option(help="test, or validation to choose by.")] = "test",
    l2: Annotated[float, typer.Option(help="EASE's ridge.")] = 400.0,
) -> None:
    """Print what models find in check-ins of Gowalla's sparsity and locality."""
    together = federation(load(None, settings(users, items, 1000, target)))
    best = 0.0
    for name, model in models(users, items, [int(part) for part in budgets.split(",")], target, l2):
        found = evaluate(model_scores(model), together.fold, together.private).means()
        best = best or found[METRICS[1]]
        shown = "  ".join(f"{metric} {found[metric]:.4f}" for metric in METRICS)
        say(f"{name:34s} {shown}  of EASE {found[METRICS[1]] / best:.1%}", whole=True)
