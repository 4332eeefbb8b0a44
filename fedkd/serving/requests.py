"""Requests to the service and its answers."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

LONGEST_ID = 500
"""Letters of an id or a title that is asked for."""

Id = Annotated[str, Field(max_length=LONGEST_ID)]


class Body(BaseModel):
    """A request, whose unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RecommendRequest(Body):
    """A request for lists.

    Attributes
    ----------
    histories : list of list of str
        Ids of the items that people have had, oldest first; a list is made for each. An empty history is that of
        somebody new.
    k : int
        Length of a list; shorter where fewer items are left.
    allow : list of str, optional
        Ids that alone may be recommended.
    deny : list of str
        Ids that must not be recommended, besides those of the history.
    categories : list of str, optional
        Only items of one of these categories.
    unknown : str
        What happens with ids that the catalogue does not know: ``refuse`` the request, or ``ignore`` and name them.
    """

    histories: Annotated[list[list[Id]], Field(min_length=1)]
    k: Annotated[int, Field(ge=1, strict=True)] = 10
    allow: list[Id] | None = None
    deny: list[Id] = []
    categories: list[Id] | None = None
    unknown: Literal["refuse", "ignore"] = "refuse"


class Feedback(Body):
    """A user's reaction to a list.

    Attributes
    ----------
    shown : list of str
        Ids of the list, in the order in which they were shown.
    chosen : list of str
        Ids of those that they chose; none is an answer too.
    history : list of str, optional
        Ids of the history that the list was made for.
    propensities : list of float, optional
        For every item shown, the probability with which whoever made the list showed it there.
    model : str, optional
        Version of the model, as the list's header ``x-model`` named it.
    """

    shown: Annotated[list[Id], Field(min_length=1)]
    chosen: list[Id] = []
    history: list[Id] | None = None
    propensities: list[Annotated[float, Field(gt=0, le=1)]] | None = None
    model: Annotated[str, Field(max_length=64)] | None = None


class Item(BaseModel):
    """An item as people see it."""

    id: str
    title: str


class ScoredItem(Item):
    """An item of a list, with the model's score."""

    score: float


class Lists(BaseModel):
    """Lists in the order of the histories; ``unknown`` holds the ids that were ignored, where that was asked for."""

    items: list[list[ScoredItem]]
    unknown: list[list[str]] | None = None


class Items(BaseModel):
    """Items that were searched for."""

    items: list[Item]


class Similar(BaseModel):
    """Items that go with an item."""

    items: list[ScoredItem]


class Problem(BaseModel):
    """Why a request was refused; ``unknown`` names ids that the catalogue does not have, the first of them."""

    error: str
    unknown: list[str] | None = None
