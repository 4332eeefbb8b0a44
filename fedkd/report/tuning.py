"""The page of a search for settings: its frontier and all of its trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedkd.report.charts import Axis, Chart, Series
from fedkd.report.page import templates
from fedkd.report.run import Interval


@dataclass(frozen=True)
class TrialRow:
    """One trial.

    Attributes
    ----------
    number : int
        Of the trial.
    decision : str
        ``met``, ``not-met``, ``undecided``, or why there is none.
    margin : float or None
        How far it is inside its worst requirement, as a share of its bound; None where it was not judged.
    values : tuple of str
        The student's value for every requirement.
    compression : str
        What made the student smaller; empty where nothing did.
    settings : str
        Keys and values.
    """

    number: int
    decision: str
    margin: float | None
    values: tuple[str, ...] = ()
    compression: str = ""
    settings: str = ""


@dataclass(frozen=True)
class Tuning:
    """A search.

    Attributes
    ----------
    name : str
        Of the configuration.
    ending, private : str
        How it ended, and what its trials did with private users.
    requirements : tuple of str
        The gate's.
    confidence : float
        Of every trial.
    frontier, trials : tuple of TrialRow
        The trials to which no other is better in one requirement and no worse in the rest, the best first; and all.
    """

    name: str
    ending: str
    private: str
    requirements: tuple[str, ...]
    confidence: float
    frontier: tuple[TrialRow, ...]
    trials: tuple[TrialRow, ...]


def margin_chart(trials: Sequence[TrialRow]) -> Chart | None:
    """Return the best margin so far, after every trial that was judged; None where none was."""
    judged = [(trial.number, trial.margin) for trial in trials if trial.margin is not None]
    if not judged:
        return None
    best = [max(margin for _, margin in judged[: place + 1]) for place in range(len(judged))]
    return Chart(
        "margins",
        "The best margin so far",
        "How far a trial's student is inside its worst requirement; at 0 or above it passes.",
        Axis("trial", "rounds"),
        "margin",
        (Series("best so far", "student", [number for number, _ in judged], [Interval(y, y, y) for y in best]),),
        (Series("passes from", "level", [0], [Interval(0.0, 0.0, 0.0)]),),
    )


def write_tuning(found: Tuning, folder: Path) -> Path:
    """Write ``report.html`` into the folder of a search, and return its path."""
    path = folder / "report.html"
    page = templates().get_template("tuning.html.j2").render(found=found, chart=margin_chart(found.trials))
    path.write_text(page, encoding="utf-8")
    return path
