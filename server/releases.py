"""What a protected question releases at the server: paid before anyone is asked, summed, noised, kept before use."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flwr.common.logger import log

from fedkd.evaluation.device import METRICS_SUM, estimated
from fedkd.messages.types import Answers, Spec
from fedkd.privacy.ledger_account import EVERYONE, EXHAUSTED, Account, Paid
from fedkd.privacy.mechanism import Protection
from server.progress import Record

WARNING = 30


@dataclass(frozen=True)
class Releases:
    """Releases of one kind.

    Attributes
    ----------
    protection : Protection
        Their noise.
    name : str
        What is released: ``answers``, ``panel`` or ``metrics``.
    kind : str
        The type of the messages that ask for it.
    counted : str
        What the bytes of its answers add to, one of ``progress.COUNTS``.
    account : Account, optional
        What a server that adds the noise pays from.
    run : str
        The run's name there; a resumed run keeps it.
    charge : callable, optional
        Told of every release before anyone is asked to contribute to it.
    """

    protection: Protection
    name: str = "answers"
    kind: str = "train"
    counted: str = "up-bytes"
    account: Account | None = None
    run: str = ""
    charge: Callable[[Record], None] | None = None

    def pay(self, number: int) -> Paid:
        """Charge a round's release before anyone is asked; without an account it costs the server nothing.

        Without owners it must not be made; with something kept it was made before the run was interrupted.
        """
        name = f"round {number}" if self.name == "answers" else self.name
        if self.account is None:
            return Paid(name, EVERYONE, None)
        paid = self.account.pay(EVERYONE, f"run {self.run}, {name}")
        if not len(paid.owners):
            log(WARNING, "%s, so nobody is asked for %s", EXHAUSTED, name)
        return paid

    def tell(self, number: int, spent: float) -> None:
        """Write down what a release costs, and epsilon with it, before it is made."""
        if self.charge is not None and self.protection.active:
            self.charge({"round": number, "release": self.name, **self.protection.charged(spent)})

    def total(self, paid: Paid, answers: Answers | None, specs: Mapping[str, Spec]) -> Answers | None:
        """Return the protected sum of some answers, kept in the ledger before anything is made of it.

        It is None where there are no answers, or too few of them to carry the noise.
        """
        if paid.kept is not None:
            return paid.kept
        if answers is None or len(answers.clients) < self.protection.quorum:
            return None
        total = self.protection.sum(answers, specs)
        return total if self.account is None else self.account.keep(paid, total)


def quality(total: Answers, guard: Protection) -> dict[str, float]:
    """Return what the protected sum of metrics says of the student; nothing where the noise drowns it."""
    found = estimated(total.values["metrics"], guard.noise * (METRICS_SUM["metrics"].clip or 1.0))
    return {f"student.private.{name}": value for name, value in found.items()}
