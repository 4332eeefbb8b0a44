"""The rows of the table of results: every model that a run measures, and the baselines to judge it by."""

from dataclasses import dataclass
from typing import Literal

EVERYONE = "everyone's data in one place"
PUBLIC = "public users alone"
ANSWERS = "clients' answers"
PARAMETERS = "clients' parameters"
OWN = "each client's own data alone"

EASE = "ease"
"""Name of the row that others are given as shares of."""


@dataclass(frozen=True)
class ResultRow:
    """One row of the table of results.

    Attributes
    ----------
    name : str
        In configurations and in ``summary.json``.
    label : str
        For people.
    kind : str
        ``run``: a model of the run itself; ``central``: a baseline trained in one place; ``protocol``: a baseline that
        is a federation of its own.
    source : str
        The data it was trained on.
    at_terminal, in_report : int
        Its place in the table at the terminal, which ends with the best, and in reports, where the run's own come
        first.
    dense : bool
        Whether it holds items x items numbers.
    independent : bool
        Whether it is the same however a federation is configured, so that comparisons show it once.
    sliced : bool
        Whether it is measured by length of history and by popularity of the target, too.
    level : bool
        Whether charts draw it as a level to be judged by.
    swept : bool
        Whether a sweep over epsilon measures it.
    of_ease : bool
        Whether its ratio to EASE is given an interval.
    by_name : bool
        Whether it is there only where ``evaluation.baselines`` names it, because few protocols have it.
    alone : str
        How the student of the run is trained where nobody teaches it: with settings ``as the run``, or ``tuned`` for
        itself; empty for other models.
    rival_of : str
        The model of the run, ``teacher`` or ``student``, that could also be had in this way; empty for other models.
    """

    name: str
    label: str
    kind: Literal["run", "central", "protocol"]
    source: str
    at_terminal: int
    in_report: int
    dense: bool = False
    independent: bool = False
    sliced: bool = False
    level: bool = False
    swept: bool = False
    of_ease: bool = False
    by_name: bool = False
    alone: Literal["", "as the run", "tuned"] = ""
    rival_of: Literal["", "teacher", "student"] = ""


ROWS = (
    ResultRow("popularity", "Popularity", "central", EVERYONE, 0, 12, independent=True, sliced=True, level=True),
    ResultRow("item-knn", "Item-kNN", "central", EVERYONE, 1, 11, dense=True, independent=True),
    ResultRow(
        EASE, "EASE", "central", EVERYONE, 12, 2, dense=True, independent=True, sliced=True, level=True, swept=True
    ),
    ResultRow("local-only", "Local-only student", "protocol", OWN, 2, 10),
    ResultRow(
        "public-teacher",
        "Public-only teacher",
        "central",
        PUBLIC,
        3,
        6,
        level=True,
        swept=True,
        of_ease=True,
        rival_of="teacher",
    ),
    ResultRow(
        "public-student", "Public-only student", "central", PUBLIC, 4, 7, level=True, swept=True, rival_of="student"
    ),
    ResultRow("undistilled", "Student without distillation", "central", PUBLIC, 5, 8, alone="as the run"),
    ResultRow("tuned", "Student tuned for itself", "central", PUBLIC, 6, 9, alone="tuned"),
    ResultRow("fedavg", "FedAvg student", "protocol", PARAMETERS, 7, 5, rival_of="student"),
    ResultRow(
        "centralised-teacher", "Centralised teacher", "central", EVERYONE, 11, 4, by_name=True, rival_of="teacher"
    ),
    ResultRow(
        "centralised", "Centralised model", "central", EVERYONE, 10, 3, dense=True, level=True, rival_of="student"
    ),
    ResultRow("teacher", "Federated teacher", "run", ANSWERS, 8, 1, sliced=True, swept=True, of_ease=True),
    ResultRow("student", "Federated student", "run", ANSWERS, 9, 0, sliced=True, swept=True, of_ease=True),
)
"""All rows; a run trains its baselines in this order."""

BY_NAME = {row.name: row for row in ROWS}
AT_TERMINAL = tuple(sorted(ROWS, key=lambda row: row.at_terminal))
IN_REPORT = tuple(sorted(ROWS, key=lambda row: row.in_report))
BASELINES = tuple(row.name for row in ROWS if row.kind != "run")
"""Names that ``evaluation.baselines`` may hold."""

USUAL = tuple(name for name in BASELINES if not BY_NAME[name].by_name)
"""Those that a run has where it names none."""

OURS = tuple(row.name for row in IN_REPORT if row.kind == "run")
"""Names of the run's own models."""


ALONE = tuple(row.name for row in ROWS if row.alone)
"""Names of the run's student without a teacher, which show whether distillation pays."""


def title(model: str) -> str:
    """Return the label of a model; a model without a row is called by its name."""
    return BY_NAME[model].label if model in BY_NAME else model


def learnt_from(model: str) -> str:
    """Return the data that a model was trained on, where a row says so."""
    return BY_NAME[model].source if model in BY_NAME else ""


def report_order(model: str) -> tuple[int, str]:
    """Return a key that sorts models as reports show them, unknown ones last."""
    return (BY_NAME[model].in_report if model in BY_NAME else len(ROWS), model)
