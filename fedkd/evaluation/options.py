"""Settings of evaluation."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from fedkd.evaluation.rows import BASELINES, USUAL
from fedkd.options import Options

if TYPE_CHECKING:
    Baseline = str
else:
    Baseline = Literal[BASELINES]


class EvaluationOptions(Options):
    """Models and rounds to measure.

    Attributes
    ----------
    target : str
        ``test`` trains on everything but the test part and is for reporting once; ``validation`` holds out more and is
        for choosing hyper-parameters.
    every : int
        Rounds between evaluations on the devices; the last round is always evaluated. 0 means the last round only.
    baselines : tuple of str
        The rows of the table beside teacher and student. A list of your own must hold only what can be made with the
        other settings; of the default ones, those that cannot are left out with a sentence.
    baseline_rounds : int
        Rounds of FedAvg, the federated baseline.
    baseline_updates : float
        The most that the clients of a federated baseline may work: clients times rounds times the student's parameters.
        A baseline that needs more is left out, and the run says so. A thousand million take a core one or two minutes.
    keep_baselines : bool
        Whether the models of federated baselines, and their clients' students, stay in the run's folder.
    """

    target: Literal["test", "validation"] = "test"
    every: int = Field(default=1, ge=0)
    baselines: tuple[Baseline, ...] = USUAL
    baseline_rounds: int = Field(default=10, ge=1)
    baseline_updates: float = Field(default=5e10, gt=0)
    keep_baselines: bool = False

    @field_validator("baselines", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value
