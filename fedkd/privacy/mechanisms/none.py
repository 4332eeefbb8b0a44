"""The mechanism without protection: the exact sum, and no promise."""

from typing import ClassVar

from fedkd.aggregation.aggregator import Aggregator, Specs
from fedkd.aggregation.sums import Sum
from fedkd.privacy.guarantee import Guarantee
from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.privacy.mechanisms.description import Way


class NoMechanism(Mechanism):
    """Answers without noise, from which anyone who sees one can read the client's history."""

    name: ClassVar[str] = "none"
    strength: ClassVar[int] = 0
    active: ClassVar[bool] = False
    trust: ClassVar[str] = "answers are not noised, and whoever sees one client's answer can read that client's history"
    way: ClassVar[Way] = Way(
        client="answers",
        total="the exact sum",
        server="",
        models="no promise",
        single="one history each",
        attacked="Mode none: no epsilon is claimed for answers.",
    )

    @classmethod
    def refusal(cls, guarantee: Guarantee) -> str | None:
        """Return why a budget or a share of it makes no sense here."""
        if guarantee.epsilon is not None or guarantee.delta is not None:
            return "epsilon and delta do nothing in mode none; set privacy.mode=central, or leave them out"
        if guarantee.metrics_share or guarantee.panel_share:
            return (
                "in mode none there is no budget to share; leave panel-share and metrics-share out, or set "
                "privacy.mode=central"
            )
        return None

    @classmethod
    def sentence(cls, guarantee: Guarantee) -> str:
        """Return the plain sentence of log and report."""
        del guarantee
        return (
            "Privacy mode none: answers are not noised, and whoever sees one client's answer can read that client's "
            "history from it."
        )

    @property
    def noise(self) -> float:
        """Return 0: the sum is exact."""
        return 0.0

    def aggregator(self, plain: Specs) -> Aggregator:
        """Return the plain sum."""
        return Sum(plain)
