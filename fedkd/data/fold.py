"""The results of splits and partitions: training data, what is measured against it, and who holds it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedkd.data.interactions import Interactions
from fedkd.ragged import Ragged


@dataclass(frozen=True)
class Fold:
    """One training set and what is measured against it; all three share users and catalogue.

    Attributes
    ----------
    train : Interactions
        What models may be trained on.
    history : Interactions
        A user's input in the evaluation; equals ``train`` unless the split folds users in.
        Items in it are never recommended to the user.
    target : Interactions
        What the user did next. A user with an empty target is not evaluated.
    """

    train: Interactions
    history: Interactions
    target: Interactions

    def take(self, users: NDArray[np.int64]) -> "Fold":
        """Return the chosen users, in the order given."""
        return Fold(self.train.take(users), self.history.take(users), self.target.take(users))


@dataclass(frozen=True)
class Split:
    """A data set divided once: choose models on ``validation``, report once on ``test``.

    Attributes
    ----------
    validation : Fold
        Trained without the validation and test parts, measured on the validation part.
    test : Fold
        Trained on everything but the test part, measured on the test part.
    fingerprint : str
        Sixteen hexadecimal digits that change with any assignment.
    dropped : dict of str to int
        What the split left out, counted by reason.
    """

    validation: Fold
    test: Fold
    fingerprint: str
    dropped: dict[str, int]


@dataclass(frozen=True)
class Partition:
    """The public users, and the private users of every client.

    Attributes
    ----------
    public : ndarray of int64, shape [public users]
        Users (positions) who share their histories with the server and with every client.
    clients : Ragged of int64
        One row of private users (positions) per client; together they are all the private users, each once.
    """

    public: NDArray[np.int64]
    clients: Ragged

    @property
    def num_clients(self) -> int:
        """Number of clients."""
        return len(self.clients)
