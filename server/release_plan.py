"""One kind of release at the server: paid for before any client is asked, and stored before it is used."""

from collections.abc import Callable
from dataclasses import dataclass

from flwr.common.logger import log

from fedkd.aggregation.aggregator import Aggregator, Specs
from fedkd.aggregation.masked import Masked
from fedkd.messages.missing import Missing
from fedkd.messages.records import dump_estimates, load_estimates
from fedkd.messages.types import Answers, Estimates
from fedkd.privacy.ledger_account import EVERYONE, Account, Paid
from fedkd.privacy.mechanisms.base import ANSWERS, METRICS, PANEL, Mechanism
from server.progress import Record

WARNING = 30

MESSAGES = {ANSWERS: "train", PANEL: "train.panel", METRICS: "evaluate"}
"""Types of the messages that ask for the kinds of releases."""

BYTES = {
    ANSWERS: ("down-bytes", "up-bytes"),
    PANEL: ("down-bytes", "up-bytes"),
    METRICS: ("evaluation-down-bytes", "evaluation-up-bytes"),
}
"""Names in ``progress.COUNTS`` under which the bytes of questions and answers are counted."""


@dataclass(frozen=True)
class ReleasePlan:
    """Releases of one kind.

    Attributes
    ----------
    mechanism : Mechanism
        The mechanism that noises them.
    kind : str
        ``answers``, ``panel`` or ``metrics``.
    account : Account, optional
        The account of a server that must pay.
    run : str
        The run's name in the account; a resumed run keeps it.
    charge : callable, optional
        Called with the cost of every release, before clients are asked to contribute to it.
    """

    mechanism: Mechanism
    kind: str = ANSWERS
    account: Account | None = None
    run: str = ""
    charge: Callable[[Record], None] | None = None

    @property
    def message(self) -> str:
        """Type of the messages that ask for it."""
        return MESSAGES[self.kind]

    def aggregator(self, plain: Specs, masked: bool) -> Aggregator:
        """Return the aggregator of its answers."""
        bare = self.mechanism.aggregator(plain)
        return Masked(bare, self.mechanism.participants) if masked else bare

    def pay(self, number: int) -> Paid:
        """Pay for a round's release before any client is asked; without an account the server pays nothing."""
        name = f"round {number}" if self.kind == ANSWERS else self.kind
        if self.account is None:
            return Paid(name, EVERYONE)
        paid = self.account.pay(EVERYONE, f"run {self.run}, {name}")
        if paid.refused:
            log(WARNING, "%s, so nobody is asked for %s", Missing.EXHAUSTED.text, name)
        return paid

    def announce(self, number: int, spent: float) -> None:
        """Log a release's cost, with epsilon so far, before it is made."""
        if self.charge is not None and self.mechanism.active:
            self.charge({"round": number, "release": self.kind, **self.mechanism.charged(spent)})

    def estimates(self, paid: Paid, aggregator: Aggregator, total: Answers) -> Estimates:
        """Return the estimates of a sum, after they were stored in the ledger."""
        found = aggregator.decode(total)
        if self.account is None:
            return found
        return load_estimates(self.account.keep(paid, dump_estimates(found)))
