"""Settings of training by gradient, in one class for each place with just the fields that it uses."""

from abc import abstractmethod
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedkd.options import Options, Searched

Target = Literal["history", "next-item"]
"""The items that a model predicts on hard labels."""


class Epochs(Options):
    """The number of passes over the data.

    Attributes
    ----------
    epochs : int
        Passes over the examples.
    """

    epochs: int = Field(1, ge=1)


class Training(Options):
    """The step size and the batch size, which all training by gradient has.

    Attributes
    ----------
    learning_rate : float
        Step size.
    batch_size : int
        Examples in a step, whose loss is their mean; all of them where there are fewer.
    """

    learning_rate: float = Field(0.003, gt=0)
    batch_size: int = Field(32, ge=1)


class CohortTraining(Training, Epochs):
    """Training by the cohort engine.

    Attributes
    ----------
    optimiser : str
        ``adam``, with its usual constants and without state from earlier rounds, or ``sgd``, plain gradient steps.
    """

    optimiser: Literal["adam", "sgd"] = "adam"


class LocalTraining(CohortTraining):
    """Training of clients' students on their own histories, in one round.

    Attributes
    ----------
    visible : float
        Probability that an item of a history is shown to the student, which then scores the whole history.
    target : str
        ``history``, as ``visible`` says, or ``next-item``: the item after a random part of the history.
    """

    epochs: int = Field(5, ge=1)
    visible: float = Field(0.5, gt=0, le=1)
    target: Annotated[Target, Searched(())] = "history"


class HardLabels(Options):
    """The task of a model that is trained on hard labels.

    Attributes
    ----------
    target : str
        ``history``: all items of a history of which a part is shown. ``next-item``: the item after the shown ones, at
        every position in models that have a state there, otherwise at one random position a step.
    negatives : int
        Items that are sampled for every next item, with the calibrated binary cross entropy gBCE; 0 for a softmax over
        the whole catalogue.
    calibration : float
        How far gBCE makes up for the items that were not sampled, from 0 to 1.
    """

    target: Annotated[Target, Searched(())] = "history"
    negatives: int = Field(0, ge=0)
    calibration: Annotated[float, Searched(needs="negatives")] = Field(0.75, ge=0, le=1)

    @model_validator(mode="after")
    def _negatives_of_a_next_item(self) -> Self:
        if self.negatives and self.target == "history":
            raise ValueError("negatives are sampled for next items alone; set target = next-item, or negatives = 0")
        return self


class AdamTraining(Training):
    """Training in one place, by Adam; subclasses say how long.

    Attributes
    ----------
    visible : float
        Probability that an item of a history is shown to the model, which then scores the whole history.
    weight_decay : float
        L2 penalty, as Adam adds it to the gradient.
    labels : HardLabels
        What is predicted.
    """

    visible: float = Field(0.5, gt=0, le=1)
    weight_decay: float = Field(2e-4, ge=0)
    labels: HardLabels = HardLabels()

    @abstractmethod
    def num_steps(self, num_rows: int) -> int:
        """Return how many steps are taken over so many rows."""

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, counted from 1."""
        del step, steps
        return self.learning_rate


class CentralTraining(AdamTraining, Epochs):
    """Training in one place by passes over histories; 0 ``epochs`` for none."""

    epochs: int = Field(60, ge=0)

    def num_steps(self, num_rows: int) -> int:
        """Return the steps of all passes."""
        return self.epochs * -(-num_rows // self.batch_size)


class StepTraining(AdamTraining):
    """Training in one place by a number of steps, as in the phases of distillation.

    Attributes
    ----------
    steps : int
        Steps of Adam; 0 skips the phase.
    decay : bool
        Whether the learning rate falls to zero in a straight line.
    """

    steps: int = Field(300, ge=0)
    decay: bool = False
    batch_size: int = Field(1024, ge=1)
    learning_rate: float = Field(0.01, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    visible: float = Field(1.0, gt=0, le=1)

    def num_steps(self, num_rows: int) -> int:
        """Return the steps, however many rows there are."""
        del num_rows
        return self.steps

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, counted from 1."""
        return self.learning_rate * (1 - (step - 1) / steps) if self.decay else self.learning_rate
