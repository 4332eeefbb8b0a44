"""The arithmetic of a model: the multiplications and additions of a forward pass, counted while it runs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from fedkd.models.base import Recommender


def flops(model: Recommender, history: Tensor) -> int:
    """Return the floating-point operations with which a model scores histories.

    Matrix products, convolutions and attention are counted by torch's own formulas, a multiplication and an addition as
    two. Sums of table rows and of a sparse model's weights are counted alike, by what is added. What is done to single
    numbers (activations, norms, biases) is not counted, nor are comparisons, as in the choice of the best items.

    Parameters
    ----------
    model : Recommender
        In evaluation mode afterwards.
    history : Tensor of int64, shape [batch, length]
        Beside the model; padding counts where the model computes with it.
    """
    counter = _Counter()  # type: ignore[no-untyped-call]
    with torch.no_grad(), counter:
        model.eval()(history)
    return counter.total + model.uncounted_flops(history)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations of all that torch does meanwhile, like torch's ``FlopCounterMode``."""

    total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: otherwise torch loads its compiler first, for seconds."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        out = func(*args, **given)
        if func.overloadpacket in SUMS:
            self.total += SUMS[func.overloadpacket](*args)
        elif func.overloadpacket in flop_registry:
            self.total += int(flop_registry[func.overloadpacket](*args, **given, out_val=out))
        return out


def _row_sums(table: Tensor, items: Tensor, *_: Any) -> int:
    """Return the operations of weighted sums of table rows."""
    return 2 * items.numel() * table.shape[1]


def _weighted_terms(total: Tensor, axis: int, index: Tensor, terms: Tensor, *_: Any) -> int:
    """Return the operations of terms that are products, and are added up at their places."""
    del total, axis, index
    return 2 * terms.numel()


SUMS: Mapping[Any, Callable[..., int]] = {
    torch.ops.aten._embedding_bag: _row_sums,
    torch.ops.aten._embedding_bag_forward_only: _row_sums,
    torch.ops.aten.scatter_add: _weighted_terms,
}
"""Operations that torch's counter leaves out."""
