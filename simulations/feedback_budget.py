"""The budget of a feedback loop: planned before it begins, charged before every release, and what cannot be planned."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fedkd.errors import UserError
from fedkd.privacy.ledger_account import EVERYONE
from fedkd.runs.config import Config
from fedkd.runs.federation import mechanisms
from simulations.feedback_policies import planned_releases, public_and_private


@dataclass(frozen=True)
class Books:
    """The ledger of one play of the loop.

    Attributes
    ----------
    folder : Path
        Folder of the ledger, unless ``privacy.ledger`` names a file that several plays share.
    play : str
        Name of the play, which no other has. Without a shared ledger its people are nobody else's.
    """

    folder: Path
    play: str

    def payer(self, config: Config, users: int, policy: str, updates: bool = True) -> Callable[[int], bool]:
        """Return a function that charges the release of a round, and returns whether the budget allows it.

        As everyone is in every release, one account stands for each client. The clients of every policy and seed are
        people of a world of their own.
        """
        clients = len(public_and_private(config, users)[1])
        mechanism = mechanisms(config, clients, planned_releases(config, updates)).answers
        if not mechanism.active:
            return lambda number: True
        own = "" if config.privacy.ledger is not None else f", play {self.play}"
        account = mechanism.account(self.folder, f"{config.data.name}, world {config.seed}, {policy}{own}")

        def pay(number: int) -> bool:
            paid = account.pay(EVERYONE, f"play {self.play}, iteration {number}")
            if not paid.refused:
                account.keep(paid, b"")  # a play is never continued, so what it releases need not be kept
            return not paid.refused

        return pay


def check_budget(config: Config, users: int) -> None:
    """Refuse a protection that the loop does not play, or a budget that cannot be planned, with a ``UserError``."""
    privacy = config.privacy
    if privacy.student.epsilon is not None:
        raise UserError(
            "the feedback loop plans and counts what clients' answers cost, not the noisy training of their students; "
            "leave privacy.student.epsilon out"
        )
    if privacy.answers_share < 1:
        raise UserError(
            "in the feedback loop the whole budget pays for clients' answers; leave privacy.panel-share and "
            "privacy.metrics-share out"
        )
    clients = len(public_and_private(config, users)[1])
    for updates in (True, False):
        mechanisms(config, clients, planned_releases(config, updates))
