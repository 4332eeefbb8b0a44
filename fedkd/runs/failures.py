"""Messages about a round, a baseline or a run that has no result."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fedkd.errors import DivergedError, UserError
from fedkd.messages.missing import Failure, Missing
from fedkd.options import COMPARED
from fedkd.protocols.base import Protocol
from fedkd.runs.mistakes import keys


class UnansweredError(UserError):
    """A round in which every client that was asked failed.

    Parameters
    ----------
    number : int
        The round.
    asked : int
        The clients.
    reasons : str
        Why they failed.
    """

    def __init__(self, number: int, asked: int, reasons: str) -> None:
        super().__init__(
            f"round {number} has no result, and the run stops before it: none of {clients(asked)} answered "
            f"({reasons}); mend that and continue the run, which then plays this round again"
        )
        self.reasons = reasons


def clients(count: int) -> str:
    """Return a number of clients in words."""
    return f"{count:,} client{'s' * (count != 1)}"


def by_reason(failures: Mapping[str, int]) -> str:
    """Return why clients are missing, and how many of them for each reason, the commonest first."""
    ordered = sorted(failures.items(), key=lambda pair: -pair[1])
    return "; ".join(f"{count:,}: {reason}" for reason, count in ordered)


def unanswered(number: int, failures: Mapping[Failure, int]) -> UserError:
    """Return the error of a round in which every client that was asked failed."""
    reasons = {failure.reason for failure in failures}
    if reasons == {Missing.NOT_FINITE}:
        return DivergedError(f"in round {number} no client's values were finite")
    said = by_reason({str(failure): count for failure, count in failures.items()})
    return UnansweredError(number, sum(failures.values()), said)


def unreached(number: int, waited: float) -> UserError:
    """Return the error of a round in which no client was there to be asked."""
    return UserError(
        f"round {number} has no result, and the run stops before it: no client is connected after {waited:g} s; start "
        "the clients, or wait longer with runtime.wait-seconds, and continue the run"
    )


@contextmanager
def mending_divergence(protocol: Protocol) -> Iterator[None]:
    """Let the error of a model that diverged name the keys of the step sizes that may be too large."""
    try:
        yield
    except DivergedError as error:
        rates = [key for key in keys(type(protocol)) if key.endswith("learning-rate")]
        taught = [key for key in rates if not _of_comparison(protocol, key)] if protocol.trained_by_steps else []
        named = " or ".join(f"algorithm.{key}" for key in taught)
        raise UserError(f"{error}{named and f'; lower {named}, and begin a new run'}") from None


def _of_comparison(protocol: Protocol, key: str) -> bool:
    """Return whether a setting is one of the centralised comparison, which does not take part in a run."""
    return COMPARED in type(protocol).model_fields[key.partition(".")[0].replace("-", "_")].metadata
