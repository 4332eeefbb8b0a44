"""The hyper-parameters of residual distillation."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedkd.distillation.residual import UserWeights
from fedkd.distillation.server_student import ServerDistillation
from fedkd.models.table import MaybeModel
from fedkd.options import COMPARED, DataSize, Options, Searched
from fedkd.training.options import CentralTraining

Decay = Annotated[float, Field(gt=0, le=1000)]


def _most_references(own: "ResidualParameters", data: DataSize) -> float:
    """Return the most references that a search tries: there must be so many histories, or a panel that holds them."""
    if own.reference_kind == "histories":
        return data.public_users
    return min(data.items, _least_panel(own, data) or data.items)


def _least_panel(own: "ResidualParameters", data: DataSize) -> float:
    """Return the smallest panel that a search tries: ranges of both meet between the two."""
    del data
    return math.sqrt(own.references * own.panel)


def _items(own: "ResidualParameters", data: DataSize) -> float:
    del own
    return data.items


class ResidualParameters(Options):
    """Parameters of residual distillation.

    Attributes
    ----------
    reference_kind : str
        ``items`` (histories of one popular item each) or ``histories`` (those of public users).
    references, panel : int
        How many references, and how many items each is scored for; 0 lets ``upload_budget_bytes`` decide.
    upload_budget_bytes : int
        Bytes of a client's answer without headers, from which the sizes follow; 0 is no limit.
    levels : int
        Largest weight of a user; weights are whole numbers from 1.
    damping, complement : float
        The proximal term of private training, in interactions; weight of public structure that references do not span.
    regularisation : float
        The teacher's ridge, over the mean weight of an interaction.
    decays : tuple of float
        Where order counts: the steps after which what was chosen counts less by the factor e, one or more.
    prior_model : ModelConfig, optional
        Where order counts: a neural model of public users, trained as ``central-teacher`` says, whose transitions are a
        prior of the teacher's; without it there is none.
    prior_weight : float
        Weight of this prior over the ridge.
    prior_temperature : float
        What the scores of its model are divided by.
    density : int
        Weights that a sparse student keeps of every row of its matrix, on average; those of cold items come on top, a
        quarter of them at most.
    cold_weight : float
        Weight of what content suggests for items that nobody has had: 1 where they are as popular as items like them,
        less where they are unpopular rather than new, and 0 where content is not asked. Their order among themselves
        is the same; lists of the whole catalogue hold hardly any at the default, and many at 2.
    block : int
        Under protection: number of popular items whose Gram matrix is asked for; 0 means 15 sqrt(clients).
    model : ModelConfig, optional
        A student of another family, which the server distils from the teacher by gradient; without it the student is a
        closed form.
    wide : bool
        Whether such a student has the closed form's, of ``rank`` or ``density``, as a wide part that does not learn.
    distillation : ServerDistillation
        The distillation of such a student.
    central : CentralTraining
        Training of such a student in the centralised comparison.
    teacher_model : ModelConfig, optional
        A neural teacher, which learns from public users' hard labels and then from the pooled closed form. Such a
        student is then distilled from it. Without it the teacher is the pooled closed form.
    teaching : ServerDistillation
        How a neural teacher learns from the pooled closed form.
    central_teacher : CentralTraining
        Training of a neural teacher, and of a prior's model, on hard labels: the public users', and everyone's in the
        centralised comparison.
    """

    reference_kind: Annotated[Literal["items", "histories"], Searched(())] = "items"
    references: Annotated[int, Searched(most=_most_references)] = Field(default=0, ge=0)
    panel: Annotated[int, Searched(needs="references", least=_least_panel, most=_items)] = Field(default=0, ge=0)
    upload_budget_bytes: int = Field(default=156_000, ge=0)
    levels: int = Field(default=7, ge=1, le=1000)
    damping: float = Field(default=50.0, gt=0)
    complement: float = Field(default=0.25, ge=0)
    regularisation: float = Field(default=400.0, gt=0)
    decays: tuple[Decay, ...] = Field(default=(1.0, 10.0), min_length=1)
    prior_model: Annotated[MaybeModel, Searched(())] = None
    prior_weight: Annotated[float, Searched(needs="prior_model")] = Field(default=1.0, gt=0)
    prior_temperature: Annotated[float, Searched(needs="prior_model")] = Field(default=2.0, gt=0)
    density: int = Field(default=32, ge=1)
    cold_weight: Annotated[float, Searched(())] = Field(default=0.5, ge=0, le=100)
    block: int = Field(default=0, ge=0, le=4096)
    model: MaybeModel = None
    wide: Annotated[bool, Searched(())] = False
    distillation: Annotated[ServerDistillation, Searched(needs="model")] = ServerDistillation()
    central: Annotated[CentralTraining, COMPARED] = CentralTraining()
    teacher_model: MaybeModel = None
    teaching: Annotated[ServerDistillation, Searched(needs="teacher_model")] = ServerDistillation()
    central_teacher: Annotated[CentralTraining, Searched(needs="teacher_model")] = CentralTraining()

    @model_validator(mode="after")
    def _a_neural_teacher_has_a_student(self) -> Self:
        if self.teacher_model is not None and self.model is None:
            raise ValueError(
                "a neural teacher teaches a student that is trained; name its family with algorithm.model.family, for "
                "example cnn, or leave algorithm.teacher-model out"
            )
        return self

    @model_validator(mode="after")
    def _a_wide_part_stands_beside_a_deep_one(self) -> Self:
        if self.wide and self.model is None:
            raise ValueError(
                "a wide part stands beside a student that is trained; name its family with algorithm.model.family, for "
                "example cnn, or leave algorithm.wide out"
            )
        return self

    @property
    def weights(self) -> UserWeights:
        """The public rule of users' weights."""
        return UserWeights(self.levels, self.damping)
