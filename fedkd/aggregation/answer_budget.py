"""The public budget of an answer: how many numbers are worth asking for, known before a round."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AnswerBudget:
    """Bounds under which answers must be one array of limited norm, and numbers beyond a few drown.

    Without a budget answers may have any number of arrays, and clients weigh as they like.

    Attributes
    ----------
    participants : int
        Clients in a round's sum, a public constant.
    std : float
        Standard deviation of what disturbs every number of the sum, over the largest norm of one answer; positive.
    """

    participants: int
    std: float

    def numbers(self, share: float) -> float:
        """Return how many numbers keep the norm of the disturbance to a share of the most that clients can say.

        Noise of standard deviation ``s`` on each of ``D`` numbers has the norm ``s sqrt(D)``; a sum of ``n`` answers of
        norm 1 and of one mind has the norm ``n``.
        """
        return (share * self.participants / self.std) ** 2
