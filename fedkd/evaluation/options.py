"""What a configuration says of evaluation."""

from typing import Literal, get_args

from pydantic import Field, field_validator

from fedkd.options import Options

Baseline = Literal[
    "popularity", "item-knn", "ease", "local-only", "public-teacher", "public-student", "fedavg", "centralised"
]


class EvaluationOptions(Options):
    """What is measured, and when.

    Attributes
    ----------
    target : str
        ``test`` trains on everything but the test part and is for reporting once; ``validation`` holds out more and is
        for choosing hyper-parameters.
    every : int
        Rounds between evaluations on the devices; the last round is always evaluated. 0 means the last round only.
    baselines : tuple of str
        The rows of the table beside teacher and student.
    baseline_rounds : int
        Rounds of the federated baselines, FedAvg and local training.
    """

    target: Literal["test", "validation"] = "test"
    every: int = Field(default=1, ge=0)
    baselines: tuple[Baseline, ...] = get_args(Baseline)
    baseline_rounds: int = Field(default=10, ge=1)

    @field_validator("baselines", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value
