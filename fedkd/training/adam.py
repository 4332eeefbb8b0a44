"""Adam on the parameters of one model."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Kingma & Ba, Adam: a method for stochastic optimization, ICLR 2015, by torch's own function.

    Torch's class for it loads a compiler first, which takes seconds.

    Parameters
    ----------
    parameters : iterable of Tensor
        Changed in place by every step.
    learning_rate : float
        Size of a step, which may be set anew before each.
    weight_decay : float
        Share of every parameter that is added to its gradient.
    """

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float, weight_decay: float = 0.0) -> None:
        self.learning_rate = learning_rate
        self._parameters, self._weight_decay = list(parameters), weight_decay
        self._moments = [(torch.zeros_like(p), torch.zeros_like(p), torch.zeros(())) for p in self._parameters]

    def step(self, loss: Tensor) -> float:
        """Move the parameters that a loss depends on against its gradients; return the loss."""
        for parameter in self._parameters:
            parameter.grad = None
        torch.autograd.backward(loss)
        with torch.no_grad():
            self._move()
        return float(loss.detach())

    def _move(self) -> None:
        both = zip(self._parameters, self._moments, strict=True)
        moved = [(p, p.grad, *moments) for p, moments in both if p.grad is not None]
        parameters, gradients, means, squares, steps = (list(column) for column in zip(*moved, strict=True))
        adam(
            parameters,
            gradients,
            means,
            squares,
            [],
            steps,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.learning_rate,
            weight_decay=self._weight_decay,
            eps=1e-8,
            maximize=False,
        )
