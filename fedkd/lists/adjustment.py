"""Several steps with what they have learnt: from scores to the scores that make the list."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.lists.base import Arrays, Asked, ListStep, Scores
from fedkd.ragged import Ragged

FILE = "lists.safetensors"
"""Name of the file with what steps have learnt, in a run's folder and in an exported one."""

Scorer = Callable[[Ragged, NDArray[np.int64]], Scores]


@dataclass(frozen=True)
class Adjustment:
    """Steps that are ready; none by default, which changes nothing.

    Attributes
    ----------
    steps : tuple of ListStep
        In the order in which they are applied.
    learnt : tuple of mapping
        What each of them has learnt.
    """

    steps: tuple[ListStep, ...] = ()
    learnt: tuple[Arrays, ...] = ()

    @classmethod
    def learn(cls, steps: Sequence[ListStep], public: Interactions) -> "Adjustment":
        """Return steps that have learnt from public users, possibly none, and the catalogue.

        Raises
        ------
        UserError
            A step needs what these data lack.
        """
        check(steps, public)
        return cls(tuple(steps), tuple(step.learn(public) for step in steps))

    @classmethod
    def restore(cls, steps: Sequence[ListStep], arrays: Arrays) -> "Adjustment":
        """Return steps with what ``arrays`` gave."""
        named = [f"{number}/" for number in range(len(steps))]
        learnt = [{k.removeprefix(n): v for k, v in arrays.items() if k.startswith(n)} for n in named]
        return cls(tuple(steps), tuple(learnt))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that was learnt, by the number of the step and its own name."""
        return {f"{number}/{name}": rows for number, own in enumerate(self.learnt) for name, rows in own.items()}

    def __call__(self, scores: Scores, asked: Asked) -> Scores:
        """Return the scores that make the lists, shape [rows, items]."""
        for step, learnt in zip(self.steps, self.learnt, strict=True):
            scores = step.adjust(scores, asked, learnt)
        return scores

    def of(self, scorer: Scorer, shown: Ragged | None = None) -> Scorer:
        """Return a scorer whose scores are adjusted.

        Parameters
        ----------
        scorer : callable
            Returns a model's scores for histories.
        shown : Ragged of int, optional
            What is shown of every user's history, to see how the model does for new users. The items of the whole
            history are left out of the lists all the same.
        """

        def adjusted(histories: Ragged, users: NDArray[np.int64]) -> Scores:
            seen = histories if shown is None else shown.take(users)
            return self(scorer(seen, users), Asked(seen, histories))

        return adjusted


def check(steps: Sequence[ListStep], public: Interactions) -> None:
    """Refuse steps that need what these data lack, with a ``UserError``."""
    for step in steps:
        if reason := step.lacking(public):
            raise UserError(f"lists.steps: {step.kind} needs {reason}; or leave {step.kind} out of lists.steps")
