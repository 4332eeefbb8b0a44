"""Requirements of a gate, as people write them: ``ndcg@10 >= 0.98 of teacher``, ``bytes <= 300000``."""

import difflib
import math
import re
from dataclasses import dataclass

from fedkd.errors import UserError
from fedkd.evaluation.metrics import METRICS
from fedkd.evaluation.rows import BY_NAME, EASE
from fedkd.evaluation.slices import HISTORY_LENGTHS, POPULARITY

STUDENT = "student"
"""The model that a gate judges."""

FACTS = {
    "coverage@10": ("coverage@10",),
    "novelty@10": ("novelty@10",),
    "diversity@10": ("diversity@10",),
    "agreement@10": ("agreement@10",),
    "parameters": ("parameters",),
    "bytes": ("bytes",),
    "flops": ("flops",),
    "latency-p50-ms": ("latency-ms", "p50"),
    "latency-p95-ms": ("latency-ms", "p95"),
    "training-seconds": ("training-seconds",),
}
"""Numbers of a model that are no means over users, with their place in its row of ``summary.json``."""

EPSILON = "epsilon"
"""The quantity that belongs to the run and to no model."""

DEPTHLESS = {"ndcg": "ndcg@10", "recall": "recall@20", "hr": "hr@10", "mrr": "mrr@10"} | {
    name.partition("@")[0]: name for name in FACTS if "@" in name
}
"""The depth of a metric that names none."""

SLICES = {name: f"{name} items" for name in POPULARITY} | {
    f"history {name}": f"history {name}" for name in HISTORY_LENGTHS
}
"""The slices that a requirement can name, with their names in ``summary.json``."""

QUANTITIES = (*METRICS, *FACTS, EPSILON)
EXAMPLE = "ndcg@10 >= 0.98 of teacher"

_FORM = re.compile(
    r"(?P<quantity>.+?)\s*(?P<sign>>=|<=|\bnot below\b|\bnot above\b)\s*"
    r"(?:(?P<number>[-+0-9.eE_]+)(?:\s+of\s+(?P<of>.+))?|(?P<other>[^0-9\s].*))"
)


@dataclass(frozen=True)
class Requirement:
    """One requirement of the student.

    Attributes
    ----------
    text : str
        As it was written.
    quantity : str
        A metric, a size, a cost, or ``epsilon``.
    slice : str
        Name of the slice of users or items that the metric is about; empty for all.
    at_least : bool
        Whether the quantity must be at least the bound; otherwise at most.
    number : float
        The bound, or the share of another model's value that is the bound.
    of : str
        Name of the other model; empty where the bound is a number.
    """

    text: str
    quantity: str
    slice: str
    at_least: bool
    number: float
    of: str

    @property
    def varies(self) -> bool:
        """Whether the quantity is a mean over users, which other users would change."""
        return self.quantity in METRICS

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that must be measured."""
        return (STUDENT, self.of) if self.of else (STUDENT,)


def requirement(text: str) -> Requirement:
    """Read a requirement.

    It is ``[SLICE] QUANTITY >= NUMBER [of MODEL]``, the same with ``<=``, or ``[SLICE] QUANTITY not below MODEL`` (or
    ``not above``), which means once its value. ``tail recall`` is the recall of the tail items; a metric without a
    depth has the one of ``DEPTHLESS``.

    Raises
    ------
    UserError
        The text has another form, or names no known quantity, slice or model.
    """
    found = _FORM.fullmatch(" ".join(text.split()))
    if found is None:
        raise UserError(f"{text!r} is no requirement; write it like {EXAMPLE!r} or 'bytes <= 300000'")
    part, quantity = _measured(found["quantity"], text)
    at_least = found["sign"] in (">=", "not below")
    number = 1.0 if found["number"] is None else _number(found["number"], text)
    of = _model(found["of"] or found["other"] or "", text)
    if of and quantity == EPSILON:
        raise UserError(f"{text!r}: epsilon belongs to the run, so it has no share of a model; write 'epsilon <= 8'")
    return Requirement(text, quantity, part, at_least, number, of)


def _number(text: str, whole: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{whole!r}: {text} is no number; write it like {EXAMPLE!r}")
    return number


def _measured(text: str, whole: str) -> tuple[str, str]:
    """Return the slice and the quantity that words name."""
    words, _, last = text.rpartition(" ")
    quantity = DEPTHLESS.get(last, last)
    if quantity not in QUANTITIES:
        raise UserError(f"{whole!r}: {last} is not measured; {_choose(last, QUANTITIES)}")
    if words and words not in SLICES:
        raise UserError(f"{whole!r}: there is no slice {words}; {_choose(words, SLICES)}")
    if words and quantity not in METRICS:
        raise UserError(
            f"{whole!r}: {quantity} has no slices; leave {words} out, or ask for one of {', '.join(METRICS)}"
        )
    return SLICES.get(words, ""), quantity


def _model(text: str, whole: str) -> str:
    """Return the name of a row of the results: ``the undistilled student`` is ``undistilled``."""
    name = text.removeprefix("the ").removeprefix("federated ").strip().lower()
    if not name:
        return ""
    names = [name, name.replace(" ", "-"), name.removesuffix(" student"), name.replace("-only", "").replace(" ", "-")]
    known = next((each for each in names if each in BY_NAME), None)
    if known is None:
        raise UserError(f"{whole!r}: {text} is no model of the results; {_choose(name, BY_NAME)}")
    if known == STUDENT:
        raise UserError(f"{whole!r} compares the student with itself; name another model, for example {EASE}")
    return known


def _choose(given: str, known: object) -> str:
    names = list(known)  # type: ignore[call-overload]
    close = difflib.get_close_matches(given, names, n=1)
    return f"did you mean {close[0]}?" if close else f"choose one of {', '.join(names)}"
