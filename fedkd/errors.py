"""The errors that a user can correct."""


class UserError(ValueError):
    """An error of the user, whose message says what is wrong, what is allowed and how to correct it.

    Commands print the message and exit with code 2, without a traceback.
    """


class DivergedError(UserError):
    """A model whose numbers are no longer finite.

    Parameters
    ----------
    seen : str
        What shows it.
    """

    def __init__(self, seen: str) -> None:
        super().__init__(f"the model diverged: {seen}")
