"""Calibration of a teacher, or of several as an ensemble, on the hard labels of public users."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from fedkd.losses.multinomial import multinomial_cross_entropy
from fedkd.losses.softmax import masked
from fedkd.models.base import Recommender, multi_hot, padded_histories, score
from fedkd.models.ensemble import Ensemble
from fedkd.ragged import Ragged


def latest_held_out(histories: Ragged, share: float = 0.2) -> tuple[Ragged, Ragged]:
    """Return the beginnings of histories, and their latest items, at least one.

    Teachers that are calibrated on the latest items must not have been trained on them.

    Parameters
    ----------
    histories : Ragged of int
        Oldest items first; those of fewer than two items are left out.
    share : float
        Share of a history that is held out.
    """
    whole = histories.take(np.flatnonzero(histories.lengths > 1))
    held = np.clip(np.ceil(whole.lengths * share), 1, whole.lengths - 1)
    first = np.arange(len(whole.values)) - whole.indptr[whole.row_index] < (whole.lengths - held)[whole.row_index]
    return whole.where(first), whole.where(~first)


def calibrated_ensemble(members: Sequence[Recommender], shown: Ragged, wanted: Ragged) -> Ensemble:
    """Return the ensemble of some models with the temperatures and weights that fit hard labels best.

    First every member's temperature is the one under which the held-out items are likeliest by that member alone
    (Guo et al., On calibration of modern neural networks, ICML 2017); then the weights, none of them negative, are
    those under which they are likeliest by all together.

    Parameters
    ----------
    members : sequence of Recommender
        The teachers.
    shown : Ragged of int
        The histories that they see.
    wanted : Ragged of int
        The items that came later, row by row; items of ``shown`` are left out of every softmax.
    """
    loss = _likelihood(Ensemble(members).num_items, shown, wanted)
    opinions = [torch.from_numpy(score(member, shown)).double() for member in members]
    temperatures = [_temperature(scores, loss) for scores in opinions]
    logits = torch.stack([s / t for s, t in zip(opinions, temperatures, strict=True)], -1)
    raw = _fitted(lambda raw: loss(logits @ softplus(raw)), torch.zeros(len(members), dtype=torch.float64))
    return Ensemble(members, softplus(raw).tolist(), temperatures).eval()


def fitted_temperature(model: Recommender, shown: Ragged, wanted: Ragged) -> float:
    """Return the temperature under which a model makes held-out items likeliest; see `calibrated_ensemble`."""
    scores = torch.from_numpy(score(model, shown)).double()
    return _temperature(scores, _likelihood(model.num_items, shown, wanted))


def _likelihood(items: int, shown: Ragged, wanted: Ragged) -> Callable[[Tensor], Tensor]:
    """Return the loss of the wanted items among those that are not shown, given logits of shape [rows, items]."""
    seen, targets = (multi_hot(padded_histories(part, items), items).double() for part in (shown, wanted))

    def loss(scores: Tensor) -> Tensor:
        return multinomial_cross_entropy(masked(scores, seen == 0), targets).mean()

    return loss


def _temperature(scores: Tensor, loss: Callable[[Tensor], Tensor]) -> float:
    """Return the temperature that fits a model's scores; it is sought around their spread."""
    spread = float(scores.std().clamp(min=1e-6))
    found = _fitted(lambda raw: loss(scores / (spread * raw.exp())), torch.zeros((), dtype=torch.float64))
    return spread * float(found.exp())


def _fitted(loss: Callable[[Tensor], Tensor], start: Tensor, steps: int = 100) -> Tensor:
    """Return the numbers of least loss near a start, by quasi-Newton steps."""
    leaf = start.clone().requires_grad_()
    solver: torch.optim.Optimizer = torch.optim.LBFGS([leaf], max_iter=steps, line_search_fn="strong_wolfe")

    def _closure() -> float:
        solver.zero_grad()
        value = loss(leaf)
        torch.autograd.backward(value)
        return float(value.detach())

    solver.step(_closure)
    return leaf.detach()
