"""Interactions of users with the items of a catalogue."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.data.catalogue import Catalogue
from fedkd.ragged import Ragged


@dataclass(frozen=True)
class Interactions:
    """The histories of users in time order, over one catalogue; a pair of user and item occurs once.

    Attributes
    ----------
    users : ndarray of str, shape [users]
        The source's own user ids; a user is its position here.
    histories : Ragged of int32
        One row of item positions per user, oldest first.
    catalogue : Catalogue
        The items.
    times : ndarray of int64, shape [interactions], optional
        Seconds since 1970 of every entry of ``histories.values``; absent where the source has none.
    groups : ndarray of str, shape [users], optional
        A natural grouping of users (shop, region), where the source has one.
    profiles : ndarray of str, shape [users], optional
        The profile of every user's device (small, large), where the source tells it.
    """

    users: NDArray[np.str_]
    histories: Ragged
    catalogue: Catalogue
    times: NDArray[np.int64] | None = None
    groups: NDArray[np.str_] | None = None
    profiles: NDArray[np.str_] | None = None

    @property
    def num_users(self) -> int:
        """Number of users, those with an empty history included."""
        return len(self.users)

    @property
    def num_items(self) -> int:
        """Number of items in the catalogue, those nobody touched included."""
        return len(self.catalogue)

    def __len__(self) -> int:
        return len(self.histories.values)

    def matrix(self, dtype: Any = np.float32) -> sparse.csr_array:
        """Return the binary user x item matrix, shape [users, items]."""
        return self.histories.matrix(self.num_items, dtype)

    def popularity(self) -> NDArray[np.int64]:
        """Return the number of users of every item, shape [items]."""
        return np.bincount(self.histories.values, minlength=self.num_items)

    def most_popular(self) -> NDArray[np.int32]:
        """Return all items, those of most users first, ties by position."""
        return np.argsort(-self.popularity(), kind="stable").astype(np.int32)

    def take(self, users: NDArray[np.int64]) -> "Interactions":
        """Return the chosen users, in the order given."""
        positions = Ragged(np.arange(len(self)), self.histories.indptr).take(users)
        return replace(
            self,
            users=self.users[users],
            histories=Ragged(self.histories.values[positions.values], positions.indptr),
            times=None if self.times is None else self.times[positions.values],
            groups=None if self.groups is None else self.groups[users],
            profiles=None if self.profiles is None else self.profiles[users],
        )

    def where(self, keep: NDArray[np.bool_]) -> "Interactions":
        """Return all users with only the interactions for which ``keep`` (shape [interactions]) is true."""
        times = None if self.times is None else self.times[keep]
        return replace(self, histories=self.histories.where(keep), times=times)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with any user, item or interaction."""
        digest = hashlib.sha256()
        for ids in (self.users, self.catalogue.ids):
            digest.update("\0".join(map(str, ids)).encode())
        digest.update(self.histories.indptr.astype("<i8").tobytes())
        digest.update(self.histories.values.astype("<i4").tobytes())
        return digest.hexdigest()[:16]
