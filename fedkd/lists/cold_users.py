"""Cold users: short histories say little, so what everybody likes counts beside them.

The scores of a history of ``n`` items are shrunk to a prior that weighs as much as ``strength`` items, as an estimate
from few observations is shrunk to a common mean (Efron & Morris, Stein's estimation rule and its competitors, JASA
1973). Somebody without a history gets the prior alone.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from fedkd.data.interactions import Interactions
from fedkd.lists.base import Arrays, Asked, ListStep, Scores, standardised


class ColdUsers(ListStep):
    """Short histories lean on what is popular with public users.

    Attributes
    ----------
    strength : float
        The items of a history as which the prior counts.
    until : int
        Items of a history from which on it counts no more.
    """

    kind: Literal["cold-users"] = "cold-users"
    strength: float = Field(3.0, gt=0)
    until: int = Field(20, ge=1)

    def lacking(self, public: Interactions) -> str:
        """Return that public users are missing, where there are none."""
        return "" if len(public) else "public users; set partition.public-fraction above 0, for example 0.1"

    def learn(self, public: Interactions) -> Arrays:
        """Return the prior: the logarithm of popularity, standardised, shape [items]."""
        return {"prior": standardised(np.log1p(public.popularity()).astype(np.float32))}

    def adjust(self, scores: Scores, asked: Asked, learnt: Arrays) -> Scores:
        """Return the mean of standardised scores and the prior, weighted by the items behind them."""
        items = asked.histories.lengths[:, None].astype(np.float32)
        prior = np.where(items < self.until, np.float32(self.strength), np.float32(0))
        return np.asarray((items * standardised(scores) + prior * learnt["prior"]) / (items + prior))
