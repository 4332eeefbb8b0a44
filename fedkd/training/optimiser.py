"""The optimiser's arithmetic on stacked parameters."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam

from fedkd.training.options import CohortTraining


class Optimiser:
    """Steps in place for the first clients of a chunk, all of which have made equally many.

    Parameters
    ----------
    parameters : dict of str to Tensor, shape [clients, ...]
        Changed in place by every call.
    training : CohortTraining
        Names the optimiser and its step size.
    """

    def __init__(self, parameters: dict[str, Tensor], training: CohortTraining) -> None:
        self._parameters = list(parameters.values())
        self._training = training
        moments = training.optimiser == "adam"
        self._mean = [torch.zeros_like(p) for p in self._parameters] if moments else []
        self._square = [torch.zeros_like(p) for p in self._parameters] if moments else []
        self._steps = [torch.zeros((), device=p.device) for p in self._parameters]

    def __call__(self, active: int, gradients: Sequence[Tensor]) -> None:
        """Update the first ``active`` clients."""
        own = [p[:active] for p in self._parameters]
        if self._training.optimiser == "sgd":
            for parameter, gradient in zip(own, gradients, strict=True):
                parameter.add_(gradient, alpha=-self._training.learning_rate)
            return
        adam(
            own,
            [g.contiguous() for g in gradients],
            [m[:active] for m in self._mean],
            [v[:active] for v in self._square],
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._training.learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
