"""The trust boundaries of a run: who sees what, and the share of the budget that each release takes."""

import math
from dataclasses import dataclass

from fedkd.report.run import Json, Run

PLACES = ("Client", "What the sum holds", "Server", "Models, consumers")
RELEASES = {
    "panel": "What items clients have",
    "answers": "Answers",
    "metrics": "The student's quality",
}


@dataclass(frozen=True)
class Place:
    """One place that an answer passes.

    Attributes
    ----------
    name : str
        Who or what it is.
    does : str
        What it does or holds; empty for nothing.
    sees : str
        What leaves it, or what is seen there, as a plain sentence.
    """

    name: str
    does: str
    sees: str


@dataclass(frozen=True)
class Spent:
    """The share of the budget that one kind of release took.

    Attributes
    ----------
    name : str
        The release, in plain words.
    share : float
        Of the budget, planned.
    count : int
        How often it was made.
    mechanism : str
        What hides anybody in one of them.
    epsilon : float
        After the last of them, everything before included.
    """

    name: str
    share: float
    count: int
    mechanism: str
    epsilon: float


def who_sees_what(run: Run) -> list[Place]:
    """Return the way of an answer through the run; empty where the run does not say what its server sees."""
    privacy = run.part("privacy")
    way, sums = privacy.get("way"), privacy.get("sums")
    if not isinstance(way, dict) or sums is None:
        return []
    does = [way["client"], way["total"], way["server"], way["models"]]
    if sums == "single":
        does[1] = "no sum: answers do not add up"
    sees = (_leaves(run, sums), "", _server(run, way["single"], sums), _promise(privacy))
    return [Place(*place) for place in zip(PLACES, does, sees, strict=True)]


def budget(run: Run) -> list[Spent]:
    """Return the spending of every kind of release, in the order they were made; empty without protection."""
    shares = {name: float(_options(run).get(f"{name}-share", 0.0)) for name in ("panel", "metrics")}
    shares["answers"] = 1 - sum(shares.values())
    out = []
    for kind in dict.fromkeys(str(line["release"]) for line in run.charges):
        lines = {int(line["round"]): line for line in run.charges if line["release"] == kind}  # a resumed round, once
        last = lines[max(lines)]
        name, share = RELEASES.get(kind, kind), shares.get(kind, 0.0)
        out.append(Spent(name, share, len(lines), last["mechanism"], last["epsilon-so-far"]))
    return out


def _options(run: Run) -> Json:
    found: Json = run.config.get("privacy", {})
    return found


def _leaves(run: Run, sums: str) -> str:
    options, open_ = _options(run), run.part("privacy").get("epsilon-planned") is None
    what = ["what items it has (once)"] if options.get("panel-share") else []
    what += ["its answer"]
    what += ["its student's quality" + ("" if open_ else " (once)")] if open_ or options.get("metrics-share") else []
    noised = " Its student is trained under DP-SGD." if options.get("student", {}).get("epsilon") else ""
    masked = "Real clients mask what travels." if sums == "secure" else "Nothing is masked."
    return f"What leaves: {', '.join(what)}. {masked}{noised}"


def _server(run: Run, single: str, sums: str) -> str:
    if sums == "secure":
        least, clients = _options(run)["minimum-cohort"], run.part("clients").get("registered", math.inf)
        if clients < least:
            return f"Sees nothing: {clients} real clients would refuse a sum of fewer than {least}."
        return f"Sees sums of at least {least} real clients, nothing else."
    return f"Sees every single answer: {single}."


def _promise(privacy: Json) -> str:
    if privacy.get("epsilon-planned") is None:
        return "What models give away of one client is not bounded."
    return (
        f"What they learn of one {privacy['unit']} is bounded by epsilon {privacy['epsilon-planned']:g} at delta "
        f"{privacy['delta']:g} in the whole run ({privacy['adjacency']}, {privacy['sampling']})."
    )
