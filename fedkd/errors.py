"""The error that a user can correct."""


class UserError(ValueError):
    """An error of the user, whose message says what is wrong, what is allowed and how to correct it.

    Commands print the message and exit with code 2, without a traceback.
    """
