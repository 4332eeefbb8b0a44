"""The two ways a secure sum ends early."""

from fedkd.errors import UserError


class RefusedError(UserError):
    """A client refuses to answer because the answer could expose it."""


class SumError(UserError):
    """The server cannot finish this round's sum."""
