"""The tuning of a student on its own: its settings are chosen on a part of the public users' histories."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import ValidationError

from fedkd.data.fold import Fold
from fedkd.data.options import SplitOptions
from fedkd.data.splits import split
from fedkd.evaluation.evaluator import evaluate, model_scores
from fedkd.evaluation.metrics import PRIMARY
from fedkd.models.watching import watched
from fedkd.options import Options, kebab
from fedkd.protocols.base import Protocol, Setup

P = TypeVar("P", bound=Protocol)


def tuned(protocol: P, setup: Setup) -> P:
    """Return a protocol with the settings that suit its student best where public users alone teach it.

    Of the public users' histories, what the run's kind of split holds out is for choosing. Settings are chosen one
    after the other, in the order in which the protocol names them; where several are equally good, the first counts.

    Raises
    ------
    UserError
        The public users' histories are too short or too few to hold a part out.
    """
    kind = "leave-last-out" if setup.ordered else "ratio"
    fold = split(setup.public, SplitOptions(kind=kind), setup.seed).test
    known: dict[P, float] = {}
    for name in protocol.tunable:
        candidates = list(variations(protocol, name))
        for candidate in watched(candidates, len(candidates), f"choice of the student's {name}"):
            if candidate not in known:
                known[candidate] = _quality(candidate, setup, fold)
        protocol = max(known, key=lambda candidate: known[candidate])
    return protocol


def variations(protocol: P, name: str) -> Iterator[P]:
    """Yield a protocol with every value of a setting that is to be tried and is allowed."""
    for factor in protocol.tunable[name]:
        try:
            yield type(protocol).model_validate(protocol.completed(_scaled(protocol, name, factor)))
        except ValidationError:
            continue  # out of the setting's range


def number(protocol: Protocol) -> int:
    """Return how many students are trained at most while one is tuned, itself included."""
    return 2 + sum(len(factors) - 1 for factors in protocol.tunable.values())


def chosen(protocol: Protocol, other: Protocol) -> dict[str, Any]:
    """Return the settings of a tuned protocol that were to be chosen, by name."""
    return {name: value for name in protocol.tunable if (value := _value(other, name)) is not None}


def _scaled(options: Options, name: str, factor: float) -> dict[str, Any]:
    """Return the change that multiplies a setting."""
    table, _, inner = name.partition(".")
    if inner:
        return {table: _scaled(getattr(options, _attribute(table)), inner, factor)}
    value = getattr(options, _attribute(name))
    return {kebab(name): round(value * factor) if isinstance(value, int) else value * factor}


def _value(options: Options, name: str) -> Any:
    for part in name.split("."):
        options = getattr(options, _attribute(part))
    return options


def _attribute(name: str) -> str:
    return name.replace("-", "_")


def _quality(protocol: Protocol, setup: Setup, fold: Fold) -> float:
    model = protocol.undistilled(replace(setup, public=fold.train))
    assert model is not None
    return evaluate(model_scores(model), fold).means()[PRIMARY]
