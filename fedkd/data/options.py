"""The part of a configuration about how data are split and who holds them."""

from typing import Literal

from pydantic import Field

from fedkd.options import Options, Texts


class SplitOptions(Options):
    """The split of interactions into training, validation and test.

    Attributes
    ----------
    kind : str
        ``ratio`` (random per user), ``leave-last-out``, ``temporal`` (one point in time, later users folded in),
        ``user-disjoint`` (some users only tested, folded in with part of their history), ``cold-items`` (some items
        only tested: nobody has had them yet), or ``official`` (the source's own test part: ``ua.test`` of
        MovieLens-100K, in other sources the files named test).
    test_fraction, validation_fraction : float
        Share of each user's interactions (ratio), of all interactions (temporal), of users (user-disjoint) or of items
        (cold-items) in the test part, and of the remaining ones in the validation part.
    fold_in_fraction : float
        Share of a folded-in user's interactions that becomes their input.
    """

    kind: Literal["ratio", "leave-last-out", "temporal", "user-disjoint", "cold-items", "official"] = "ratio"
    test_fraction: float = Field(0.2, gt=0, lt=1)
    validation_fraction: float = Field(0.15, gt=0, lt=1)
    fold_in_fraction: float = Field(0.8, gt=0, lt=1)

    @property
    def ordered(self) -> bool:
        """Whether what users did last is held out, so that the order of histories may tell something of it."""
        return self.kind in ("leave-last-out", "temporal")


class PartitionOptions(Options):
    """The share of public users, and the clients that hold the others.

    Attributes
    ----------
    public_fraction : float
        Share of the users who are public.
    public_choice : str
        Who they are: ``random``, drawn with the run's seed, or ``heavy``, those whose items are the most popular ones,
        so that public data are heavy at the head and know little of the rest.
    clients : str
        ``users`` (one user a client), ``silos`` (equal or skewed sizes), ``tastes`` (silos by a Dirichlet distribution
        over groups of like-minded users) or ``groups`` (the source's group column).
    num_silos : int
        Number of silos of ``silos`` and ``tastes``.
    size_skew : float
        Exponent of the silos' sizes: 0 is equal sizes, 1 is proportional to 1/rank.
    concentration : float
        Dirichlet concentration of ``tastes``; small values separate tastes.
    groups : tuple of str
        The groups of the source that take part, public users included; all without any. The deal is the same, and
        users of other groups are left out of it, which shows what they give to those that stay. Baselines of
        everyone's data have them all the same. Text holds several, separated by semicolons.
    """

    public_fraction: float = Field(0.1, ge=0, lt=1)
    public_choice: Literal["random", "heavy"] = "random"
    clients: Literal["users", "silos", "tastes", "groups"] = "users"
    num_silos: int = Field(10, ge=1)
    size_skew: float = Field(0.0, ge=0)
    concentration: float = Field(0.5, gt=0)
    groups: Texts = ()
