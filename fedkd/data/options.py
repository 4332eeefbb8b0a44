"""What a configuration says of data: where it comes from, how it is split, who holds it."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from fedkd.options import Options


class SyntheticOptions(Options):
    """Size of the synthetic data set.

    Attributes
    ----------
    users, items : int
        How many of each.
    mean_history : float
        Mean number of interactions of a user.
    seed : int
        Seed of the generator; another seed is another data set of the same kind.
    """

    users: int = Field(600, ge=10, le=10**8)
    items: int = Field(500, ge=20, le=10**8)
    mean_history: float = Field(60.0, gt=2)
    seed: int = Field(0, ge=0)


class DataOptions(Options):
    """Where interactions come from, and what cleaning keeps.

    Attributes
    ----------
    source : str
        One of the sources that ``fedkd data list`` names.
    path : Path, optional
        A file or folder with the data; downloaded sources use their cache without it.
    user_column, item_column, time_column, rating_column, group_column : str
        Column names of a table; an empty string means that there is none.
    year_column : str
        Column of a table with the year in which the row's item was released, a public fact that is the same in every
        row of the item; an empty string means that there is none.
    separator : str
        Separator of a text table; an empty string means that it is detected.
    min_rating : float, optional
        Keep interactions of at least this rating; all of them without it.
    min_user_interactions, min_item_interactions : int
        Users and items with fewer interactions are dropped, and counted.
    synthetic : SyntheticOptions
        Size of the synthetic data set.
    """

    source: Literal["synthetic", "movielens-100k", "movielens-1m", "lightgcn", "table"] = "synthetic"
    path: Path | None = None
    user_column: str = "user"
    item_column: str = "item"
    time_column: str = ""
    rating_column: str = ""
    group_column: str = ""
    year_column: str = ""
    separator: str = ""
    min_rating: float | None = None
    min_user_interactions: int = Field(2, ge=1)
    min_item_interactions: int = Field(1, ge=1)
    synthetic: SyntheticOptions = SyntheticOptions()

    @property
    def name(self) -> str:
        """Where the data come from, in a word; it stays as histories grow."""
        return self.source if self.path is None else f"{self.source}:{self.path.absolute()}"

    @field_validator("path", mode="before")
    @classmethod
    def _no_path(cls, value: object) -> object:
        return None if value == "" else value  # an empty path is none, not the current folder


class SplitOptions(Options):
    """How interactions are divided into training, validation and test.

    Attributes
    ----------
    kind : str
        ``ratio`` (random per user), ``leave-last-out``, ``temporal`` (one point in time, later users folded in),
        ``user-disjoint`` (some users only tested, folded in with part of their history), or ``official`` (the source's
        own: MovieLens-100K ua, LightGCN train/test).
    test_fraction, validation_fraction : float
        Share of each user's interactions (ratio), of all interactions (temporal) or of users (user-disjoint) in the
        test part, and of the remaining ones in the validation part.
    fold_in_fraction : float
        Share of a folded-in user's interactions that becomes his input.
    """

    kind: Literal["ratio", "leave-last-out", "temporal", "user-disjoint", "official"] = "ratio"
    test_fraction: float = Field(0.2, gt=0, lt=1)
    validation_fraction: float = Field(0.15, gt=0, lt=1)
    fold_in_fraction: float = Field(0.8, gt=0, lt=1)


class PartitionOptions(Options):
    """Who is public, and who holds what.

    Attributes
    ----------
    public_fraction : float
        Share of the users who are public; drawn at random with the run's seed.
    clients : str
        ``users`` (one user a client), ``silos`` (equal or skewed sizes), ``tastes`` (silos by a Dirichlet distribution
        over groups of like-minded users) or ``groups`` (the source's group column).
    num_silos : int
        Number of silos of ``silos`` and ``tastes``.
    size_skew : float
        Exponent of the silos' sizes: 0 is equal sizes, 1 is proportional to 1/rank.
    concentration : float
        Dirichlet concentration of ``tastes``; small values separate tastes.
    """

    public_fraction: float = Field(0.1, ge=0, lt=1)
    clients: Literal["users", "silos", "tastes", "groups"] = "users"
    num_silos: int = Field(10, ge=1)
    size_skew: float = Field(0.0, ge=0)
    concentration: float = Field(0.5, gt=0)
