"""The base of models that read a history item by item and can say after each of them what comes next."""

from abc import abstractmethod

from torch import Tensor, nn

from fedkd.models.base import Recommender, at_places, lookup
from fedkd.models.item_rows import ItemRows
from fedkd.models.item_table import ItemScores, RowScores, item_tables


class SequentialRecommender(Recommender):
    """A state for every position of a history, which sees no later item; scores follow from the last one.

    Parameters
    ----------
    table : ItemRows
        The items on their way in.
    head : ItemScores or RowScores
        The layer from a state to scores.
    length : int
        The most recent items that are looked at; older ones are forgotten.
    dropout : float
        Dropout on the embedded items in training.
    """

    def __init__(self, table: ItemRows, head: ItemScores | RowScores, length: int, dropout: float) -> None:
        super().__init__(table.num_items)
        self.table, self.head, self.length = table, head, length
        self.dropout = nn.Dropout(dropout)
        vars(self)["item_tables"] = item_tables(self)

    @abstractmethod
    def states(self, rows: Tensor, real: Tensor, layer: int) -> Tensor:
        """Return the states of a layer.

        Parameters
        ----------
        rows : Tensor, shape [batch, positions, width]
            Embedded items; what stands at padding, on the left, is of no meaning.
        real : Tensor, shape [batch, positions, 1]
            1 at items, 0 at padding.
        layer : int
            One of ``layers``.

        Returns
        -------
        Tensor, shape [batch, positions, width]
            Zero at padding in all layers but the last, from which scores follow.
        """

    def every_state(self, history: Tensor, layer: int | None = None) -> Tensor:
        """Return the states of a layer, by default the last, at the most recent positions of a history.

        Their shape is [batch, positions, width].
        """
        rows, real = lookup(self.table(), history[:, -self.length :])
        return self.states(rows, real, self.layers[-1] if layer is None else layer)

    def positions(self, history: Tensor, layer: int | None = None) -> Tensor:
        """Return the states of a layer, zero at padding: 0 are the embedded items, 1 and more the layers above."""
        if layer not in self.layers:
            return super().positions(history, layer)
        real = history[:, -self.length :] < self.table.num_items
        return self.every_state(history, layer) * real.unsqueeze(-1)

    def hidden(self, history: Tensor) -> Tensor:
        """Return the state after the most recent item, shape [batch, width]."""
        return self.every_state(history)[..., -1, :]

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]."""
        scores: Tensor = self.head(self.hidden(history))
        return scores

    @property
    def reach(self) -> int:
        """The most recent items that are looked at."""
        return self.length

    def scores_after(self, history: Tensor, places: Tensor) -> Tensor:
        """Return the scores at some places of every history, shape [batch, parts, items]."""
        scores: Tensor = self.head(at_places(self.every_state(history), places, history.shape[1]))
        return scores

    def every_score(self, history: Tensor) -> Tensor:
        """Return the scores after every item, shape [batch, positions, items]; those at padding mean nothing."""
        scores: Tensor = self.head(self.every_state(history))
        return scores
