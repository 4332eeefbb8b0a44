"""Device profiles: clients of one federation with students of different shapes."""

from collections.abc import Iterator, Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StringConstraints

from fedkd.models.base import ModelConfig
from fedkd.models.table import AnyModel
from fedkd.options import Options
from fedkd.random_streams import stream

GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, taken modulo 1, spread evenly, so that even a few clients have about the wanted shares."""


class Profile(Options):
    """A kind of device.

    Attributes
    ----------
    share : float
        How many clients have it, relative to the shares of the other profiles.
    model : ModelConfig
        The student that it carries.
    """

    share: float = Field(1.0, gt=0)
    model: AnyModel


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$")]


class ClientOptions(Options):
    """The devices of the clients.

    Attributes
    ----------
    profiles : mapping of str to Profile
        The kinds of devices by name; none at all gives every client the student of the algorithm. A column of the data
        says who has which (``data.profile-column``), or a device itself; else they are dealt out by their shares.
    """

    profiles: Mapping[Name, Profile] = {}

    def __hash__(self) -> int:
        """Return a hash of the profiles, as a mapping has none."""
        return hash(tuple(self.profiles.items()))

    def dealt(self, clients: NDArray[np.int64], seed: int) -> NDArray[np.str_]:
        """Return every client's profile by the shares: a public constant of the seed and the client's number."""
        if not self.profiles:
            return np.full(len(clients), "")
        place = (stream(seed, "profiles").random() + GOLDEN * clients) % 1
        ends = np.cumsum([profile.share for profile in self.profiles.values()])
        return np.array([*self.profiles])[np.searchsorted(ends / ends[-1], place, side="right")]

    def model(self, profiles: NDArray[np.str_]) -> ModelConfig | None:
        """Return the student of clients that all have one profile; None where it is the algorithm's."""
        return self.profiles[profiles[0]].model if self.profiles and len(profiles) else None

    def models(self, profiles: NDArray[np.str_]) -> Iterator[tuple[ModelConfig | None, int]]:
        """Yield the student of every profile that clients have, and how many clients have it."""
        for name, count in zip(*np.unique(profiles, return_counts=True), strict=True):
            yield self.model(np.array([name])), int(count)


def in_cohorts(clients: NDArray[np.int64], profiles: NDArray[np.str_], size: int) -> Iterator[NDArray[np.int64]]:
    """Yield clients in groups of one profile each and at most ``size``, because a cohort has one student shape."""
    for name in np.unique(profiles):
        own = clients[profiles == name]
        yield from (own[start : start + size] for start in range(0, len(own), size))
