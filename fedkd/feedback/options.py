"""Settings of the feedback loop."""

from pydantic import Field

from fedkd.options import Options


class FeedbackOptions(Options):
    """A made-up world in which recommendations produce the next data.

    Attributes
    ----------
    iterations : int
        How often lists are shown, clicks are collected and models are updated.
    slate : int
        Length of a list.
    exploration : float
        Share of the places of a list that show an item drawn evenly among all that the user has not had.
    position_bias : float
        Exponent of the decline of attention: the place k is looked at with probability ``k ** -position_bias``.
    organic : float
        Mean number of items that a user meets by themself between two lists.
    drift : float
        Probability that a user exchanges one of their favourites before the next list.
    satiation : float
        By how much an item that was taken lowers the user's logits of its genre; it fades by a fifth each time.
    newcomers : float
        Share of the users who are not there from the beginning, and arrive evenly.
    seeds : int
        Worlds that are played, ``seed``, ``seed + 1``, ...; intervals are Student's over them.
    """

    iterations: int = Field(20, ge=1, le=1000)
    slate: int = Field(10, ge=1, le=100)
    exploration: float = Field(0.1, gt=0, lt=1)
    position_bias: float = Field(1.0, ge=0, le=5)
    organic: float = Field(1.0, ge=0, le=100)
    drift: float = Field(0.1, ge=0, le=1)
    satiation: float = Field(0.3, ge=0, le=10)
    newcomers: float = Field(0.2, ge=0, lt=1)
    seeds: int = Field(5, ge=1, le=100)
