"""The interactions of the feedback loop's users so far, from which models learn."""

from dataclasses import dataclass, replace

import numpy as np

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.feedback.world import Ints, Marks
from fedkd.ragged import Ragged, offsets


@dataclass(frozen=True)
class Memory:
    """Every item that users took, in order.

    Attributes
    ----------
    user, item : ndarray of int64, shape [interactions]
        The oldest first.
    seen : ndarray of bool, shape [users, items]
        The same as a table.
    """

    user: Ints
    item: Ints
    seen: Marks

    @classmethod
    def empty(cls, users: int, items: int) -> "Memory":
        """Return the memory before anything happened."""
        none = np.zeros(0, np.int64)
        return cls(none, none, np.zeros((users, items), bool))

    def after(self, user: Ints, item: Ints) -> "Memory":
        """Return the memory with new interactions; a pair that is known, or occurs twice, counts once."""
        _, first = np.unique(user * self.seen.shape[1] + item, return_index=True)
        first.sort()
        user, item = user[first], item[first]
        new = ~self.seen[user, item]
        seen = self.seen.copy()
        seen[user[new], item[new]] = True
        return replace(
            self, user=np.concatenate([self.user, user[new]]), item=np.concatenate([self.item, item[new]]), seen=seen
        )

    def interactions(self, catalogue: Catalogue) -> Interactions:
        """Return the histories of all users, empty ones included."""
        users = len(self.seen)
        order = np.argsort(self.user, kind="stable")
        histories = Ragged(self.item[order].astype(np.int32), offsets(np.bincount(self.user, minlength=users)))
        return Interactions(np.array([f"u{user}" for user in range(users)]), histories, catalogue)
