"""From a change of scores back to a change of parameters: a linear least-squares problem, solved without a matrix."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call, vjp

from fedkd.models.base import Recommender
from fedkd.models.watching import watched


def parameter_change(
    model: Recommender,
    history: Tensor,
    panel: Tensor,
    change: Tensor,
    steps: int,
    directions: Tensor | None = None,
) -> tuple[dict[str, Tensor], float]:
    """Return the smallest change ``D`` of the parameters that moves the scores most nearly by ``change``.

    Solves ``min_D |J D - change|^2``, where ``J`` is the Jacobian of the scores in the parameters, by conjugate
    gradients on the normal equations (CGLS; Björck, Numerical Methods for Least Squares Problems, 1996, 7.4.1).
    ``J`` never stands in memory: a step costs one product with it and one with its transpose. Few steps regularise.

    Parameters
    ----------
    model : Recommender
        Where the Jacobian is taken; used in evaluation mode, and not altered.
    history : Tensor of int64, shape [references, length]
        Padded histories.
    panel : Tensor of int64, shape [panel]
        The items whose scores are meant.
    change : Tensor, shape [references, panel], or [directions, panel]
        The wanted change of their scores.
    steps : int
        Most conjugate gradient steps.
    directions : Tensor, shape [directions, references], optional
        Only the change along these is wanted; the rest is free.

    Returns
    -------
    change : dict of str to Tensor
        The change of every parameter, by name.
    explained : float
        Share of the wanted change, in squares, that it brings about to first order.
    """
    model.eval()
    parameters = {name: tensor.detach() for name, tensor in model.named_parameters()}

    def scores(values: dict[str, Tensor]) -> Tensor:
        out: Tensor = functional_call(model, values, (history,))
        return out[:, panel] if directions is None else directions @ out[:, panel]

    back = vjp(scores, parameters)[1]
    push = vjp(lambda rows: vjp(scores, parameters)[1](rows)[0], torch.zeros_like(change))[1]  # J is linear's transpose
    solution = {name: torch.zeros_like(value) for name, value in parameters.items()}
    rest = change
    gradient = back(rest)[0]
    direction, size = gradient, _dot(gradient, gradient)
    floor = 1e-12 * size
    for _ in watched(range(steps), steps, "teaching"):
        if size <= floor:  # nothing is left that the parameters can do
            break
        moved = push(direction)[0]
        length = size / (moved * moved).sum()
        solution = _add(solution, length, direction)
        rest = rest - length * moved
        gradient = back(rest)[0]
        size, before = _dot(gradient, gradient), size
        direction = _add(gradient, size / before, direction)
    explained = 1 - rest.square().sum() / change.square().sum().clamp(min=torch.finfo(change.dtype).tiny)
    return solution, float(explained)


def _dot(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([(left[name] * right[name]).sum() for name in left]).sum()


def _add(base: Mapping[str, Tensor], factor: Tensor, other: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: base[name] + factor * other[name] for name in base}
