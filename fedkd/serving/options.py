"""Settings of the service."""

from pathlib import Path

from pydantic import Field

from fedkd.options import Options


class Limits(Options):
    """The most that one request may ask for.

    Attributes
    ----------
    histories : int
        Histories in a request.
    length : int
        Items in a history, in a list of items, and in what feedback tells.
    k : int
        Length of a list.
    body_bytes : int
        Bytes of a request.
    seconds : float
        Time from its first byte to its answer.
    feedback_bytes : int
        Bytes of the feedback that is kept, in two files of half of it: the older one goes.
    """

    histories: int = Field(100, ge=1)
    length: int = Field(2000, ge=1)
    k: int = Field(100, ge=1)
    body_bytes: int = Field(1_000_000, ge=1000)
    seconds: float = Field(5.0, gt=0)
    feedback_bytes: int = Field(64_000_000, ge=10_000)


class ServiceOptions(Options):
    """The folder to serve, and the address.

    Attributes
    ----------
    folder : Path
        An exported folder, or a run's.
    feedback : Path, optional
        File that feedback is appended to; none is taken without it.
    threads : int
        Threads of one call of the model.
    limits : Limits
        The most that one request may ask for.
    """

    folder: Path
    feedback: Path | None = None
    threads: int = Field(1, ge=1)
    limits: Limits = Limits()
