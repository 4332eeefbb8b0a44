"""The part of Flower's interface for strategies that a strategy with a round loop of its own leaves empty."""

from collections.abc import Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy


class OwnRounds(Strategy):
    """A strategy whose rounds write and read their own messages."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return nothing: rounds write their own messages."""
        del server_round, arrays, config, grid
        return []

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return nothing: rounds read their own replies."""
        del server_round, replies
        return None, None
