"""A model whose scores have one size for every history, so that one temperature suits them all.

The scores of a linear teacher are sums over a history, so long histories have larger ones. A student that averages over
a history cannot know its length, and need not: the order of the items is the same.
"""

from torch import Tensor

from fedkd.models.base import Recommender


class Standardised(Recommender):
    """Another model's scores with mean 0 and standard deviation 1 over the catalogue, history by history.

    Sun et al., Logit standardization in knowledge distillation, CVPR 2024.

    Parameters
    ----------
    model : Recommender
        The other model.
    """

    def __init__(self, model: Recommender) -> None:
        super().__init__(model.num_items)
        self.model = model

    def hidden(self, history: Tensor) -> Tensor:
        """Return the features of the other model."""
        return self.model.hidden(history)

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]; all 0 where those of the other model are equal."""
        scores: Tensor = self.model(history)
        centred = scores - scores.mean(-1, keepdim=True)
        return centred / centred.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-9)
