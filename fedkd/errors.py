"""The errors that a user can correct."""


class UserError(ValueError):
    """An error of the user, whose message says what is wrong, what is allowed and how to correct it.

    Commands print the message and exit with code 2, without a traceback.
    """


class DivergedError(UserError):
    """A model whose numbers are no longer finite."""

    def __init__(self, message: str = "the model diverged: it holds or gives numbers that are not finite") -> None:
        super().__init__(message)
