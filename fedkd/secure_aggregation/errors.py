"""The two ways a secure sum ends early."""

from fedkd.errors import UserError
from fedkd.messages.missing import Failure, Missing


class RefusedError(UserError):
    """A client refuses to answer because the answer could expose it.

    Parameters
    ----------
    message : str
        For people.
    reason : Missing
        The reason that the server is told.
    """

    def __init__(self, message: str, reason: Missing = Missing.REFUSED) -> None:
        super().__init__(message)
        self.failure = Failure(reason, message)


class SumError(UserError):
    """The server cannot finish this round's sum."""
