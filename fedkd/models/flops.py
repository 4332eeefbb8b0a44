"""The arithmetic of a model: the multiplications and additions of a forward pass, counted while it runs."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fedkd.models.base import Recommender


def flops(model: Recommender, history: Tensor) -> int:
    """Return the floating-point operations with which a model scores histories.

    Torch's own counter counts matrix products, convolutions and attention, a multiplication and an addition as two.
    Sums of table rows and of a sparse model's weights are counted alike, by what is added. What is done to single
    numbers (activations, norms, biases) is not counted, nor are comparisons, as in the choice of the best items.

    Parameters
    ----------
    model : Recommender
        In evaluation mode afterwards.
    history : Tensor of int64, shape [batch, length]
        Beside the model; padding counts where the model computes with it.
    """
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=SUMS) as counter:
        model.eval()(history)
    return int(counter.get_total_flops()) + model.uncounted_flops(history)


def _row_sums(table: torch.Size, items: torch.Size, *_: Any, **__: Any) -> int:
    """Return the operations of weighted sums of table rows."""
    return 2 * items.numel() * table[1]


def _weighted_terms(total: torch.Size, axis: int, index: torch.Size, terms: torch.Size, *_: Any, **__: Any) -> int:
    """Return the operations of terms that are products, and are added up at their places."""
    del total, axis, index
    return 2 * terms.numel()


SUMS = {
    torch.ops.aten._embedding_bag: _row_sums,
    torch.ops.aten._embedding_bag_forward_only: _row_sums,
    torch.ops.aten.index_add: _weighted_terms,
}
"""Operations that torch's counter leaves out."""
