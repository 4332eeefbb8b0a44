"""The public budget of an answer, from which the number of values worth asking for follows before a round."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AnswerBudget:
    """Bounds of an answer under noise, which must be one array of limited norm with few numbers.

    Without a budget answers may have any number of arrays, and clients may have any weights.

    Attributes
    ----------
    participants : int
        Clients in a round's sum, a public constant.
    std : float
        Standard deviation of the noise on every number of the sum, over the largest norm of one answer; positive.
    """

    participants: int
    std: float

    def numbers(self, share: float) -> float:
        """Return the number of values whose noise has a norm of a given share of the largest norm of a sum.

        Noise of standard deviation ``s`` on each of ``D`` numbers has the norm ``s sqrt(D)``; a sum of ``n`` equal
        answers of norm 1 has the norm ``n``.
        """
        return (share * self.participants / self.std) ** 2
