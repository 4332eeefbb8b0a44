"""The error that a person can mend."""


class UserError(ValueError):
    """What was wrong, what was got, what is allowed, and what mends it.

    Commands print the message and exit with code 2; no traceback is shown.
    """
