"""Cold items: few have had them, so their content speaks for them.

An item's score gains by how much its content is like that of a history, the more so the fewer public users have had it.
Content is categories and, where the catalogue has some, vectors of text or images. A linear hybrid of a collaborative
and a content-based recommender (Claypool et al., Combining content-based and collaborative filters in an online
newspaper, SIGIR workshop on recommender systems 1999), whose weight depends on the item.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.lists.base import Arrays, Asked, ListStep, Scores, standardised, unit_rows


class ColdItems(ListStep):
    """Items that few have had are recommended for their content.

    Attributes
    ----------
    weight : float
        Weight of the content of an item that no public user has had, beside scores of standard deviation 1.
    users : float
        Public users of an item at which it counts half.
    """

    kind: Literal["cold-items"] = "cold-items"
    weight: float = Field(1.0, gt=0)
    users: float = Field(5.0, gt=0)

    def lacking(self, public: Interactions) -> str:
        """Return that content is missing, where the catalogue has none."""
        has = public.catalogue.categories or public.catalogue.vectors
        return "" if has else "a catalogue with categories or vectors, and this one has neither"

    def learn(self, public: Interactions) -> Arrays:
        """Return the content of items, rows of norm 1, and the share with which it counts."""
        share = self.users / (self.users + public.popularity())
        return {"content": content(public.catalogue), "share": share.astype(np.float32)}

    def adjust(self, scores: Scores, asked: Asked, learnt: Arrays) -> Scores:
        """Return standardised scores, and the standardised likeness to the history where it counts."""
        had = asked.histories.matrix(scores.shape[1], np.float32)
        likeness = standardised((had @ learnt["content"]) @ learnt["content"].T)
        return np.asarray(standardised(scores) + self.weight * learnt["share"] * likeness)


def content(catalogue: Catalogue) -> Scores:
    """Return categories and vectors side by side, each kind of norm 1 before the whole is, shape [items, numbers]."""
    kinds = [catalogue.membership.reshape(len(catalogue), -1), *catalogue.vectors.values()]
    return unit_rows(np.hstack([unit_rows(kind) for kind in kinds]))
