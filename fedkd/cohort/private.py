"""DP-SGD of all students of a cohort at once (Abadi et al., Deep learning with differential privacy, CCS 2016).

Students do not share parameters, and neither do copies made for single examples: with every example as a client of its
own, the one backward pass of the cohort engine gives the gradient of every example, over the item slices that it
touches, so its norm is exact and no table of items is ever made per example.

What accounting relies on is public: the sampling rate, the number of steps and the divisor do not depend on how much
data a client has, and clients without any take the same steps.

Every step puts noise on every item. Steps are plain gradient steps, so the noise on an item may wait until the item is
read again, and comes then in one draw with the variance of all: the same distribution as step by step, for a fraction
of the work (Lim et al., LazyDP, ASPLOS 2024). When training ends no noise is left waiting.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedkd.cohort.chunks import Loss, Parameters, borrow, item_tables, localise
from fedkd.cohort.engine import losses_of
from fedkd.cohort.examples import Examples, Touched, tensor_of
from fedkd.cohort.training import Training
from fedkd.errors import UserError
from fedkd.privacy.randomness import noise_generator, standard_normal
from fedkd.ragged import Ragged


@dataclass(frozen=True)
class GradientNoise:
    """The public constants of DP-SGD.

    Attributes
    ----------
    clip : float
        Largest Euclidean norm of one example's gradient, over all parameters together.
    multiplier : float
        Standard deviation of the noise on a step's sum of gradients, over the clip.
    rate : float
        Probability with which every example, independently, takes part in a step.
    steps : int
        Steps of every student.
    divisor : float
        What the noisy sum is divided by: a planned number of examples in a step.
    """

    clip: float
    multiplier: float
    rate: float
    steps: int
    divisor: float

    def __post_init__(self) -> None:
        positive = (self.clip, self.divisor, self.rate)
        if not all(math.isfinite(value) and value > 0 for value in positive) or self.rate > 1:
            raise UserError(f"{self}: clip and divisor must be positive and finite, the rate above 0 and at most 1")
        if not (self.multiplier >= 0 and math.isfinite(self.multiplier)) or self.steps < 1:
            raise UserError(
                f"{self}: the noise multiplier must be finite and not negative, and there is a step at least"
            )


class Draws:
    """The secret randomness of DP-SGD: who takes part in a step, and the noise."""

    def __init__(self) -> None:
        self._generator = noise_generator()

    def taking_part(self, rows: NDArray[np.int64], lengths: NDArray[np.int64], rate: float) -> NDArray[np.bool_]:
        """Return which examples of the students ``rows`` take part, client after client, shape [sum of lengths]."""
        del rows
        return self._generator.random(int(lengths.sum())) < rate

    def normal(self, name: str, rows: NDArray[np.int64], shape: torch.Size, step: int) -> Tensor:
        """Return one step's standard normal numbers for a parameter of the students ``rows``, of shape [rows, ...]."""
        del name, rows, step
        return standard_normal(tuple(shape))

    def waiting(self, name: str, slices: "Slices", since: Tensor, step: int, shape: torch.Size) -> Tensor:
        """Return, for slices of an item table, the sums of the normal numbers of the steps ``since`` to ``step - 1``.

        Parameters
        ----------
        name : str
            The table.
        slices : Slices
            Which students' items.
        since : Tensor of int64, shape [slices]
            The first step that is not in a slice yet.
        step : int
            The first step that stays out.
        shape : torch.Size
            That of the result, [slices, ...].
        """
        del name, slices
        deviation = (step - since).to(torch.float32).sqrt()
        return standard_normal(tuple(shape)).mul_(deviation.view(-1, *[1] * (len(shape) - 1)))


@dataclass(frozen=True)
class Slices:
    """Items of students: the student's row in the cohort, its place in the chunk, and the item, shape [slices] each."""

    row: NDArray[np.int64]
    place: Tensor
    item: Tensor


def train_with_noise(
    model: nn.Module,
    parameters: Parameters,
    examples: Examples,
    loss: Loss,
    training: Training,
    noise: GradientNoise,
    draws: Draws | None = None,
) -> None:
    """Train every client's student on his own examples under DP-SGD, in place.

    Parameters
    ----------
    model, parameters, examples, loss
        As in ``fedkd.cohort.engine.train``; the unit of privacy is one example.
    training : Training
        Step size and memory; the optimiser must be ``sgd``, epochs and batch size do not apply.
    noise : GradientNoise
        Clip, noise, sampling, steps and divisor.
    draws : Draws, optional
        The randomness; that of the operating system without it.

    Raises
    ------
    UserError
        Another optimiser than ``sgd``.
    """
    if training.optimiser != "sgd":
        raise UserError(
            f"students under noise take plain gradient steps: set the optimiser to sgd, not {training.optimiser}"
        )
    draws = draws or Draws()
    tables = item_tables(model) if examples.items else {}
    for rows in _chunks(parameters, examples, training, noise):
        own = {name: stacked[int(rows[0]) : int(rows[-1]) + 1] for name, stacked in parameters.items()}
        _Chunk(model, tables, own, rows, training.learning_rate, noise, draws).train(examples.take(rows), loss)


class _Chunk:
    """Students that are trained together, and the noise that waits for them."""

    def __init__(
        self,
        model: nn.Module,
        tables: Mapping[str, int],
        own: Parameters,
        rows: NDArray[np.int64],
        learning_rate: float,
        noise: GradientNoise,
        draws: Draws,
    ) -> None:
        self._model, self._tables, self._own, self._rows = model, tables, own, rows
        self._noise, self._draws = noise, draws
        self._pace = learning_rate / noise.divisor
        items = vars(model)["num_items"] if tables else 0
        self._since = torch.zeros(len(rows), items, dtype=torch.int64)

    def train(self, examples: Examples, loss: Loss) -> None:
        """Take all steps."""
        owner = np.repeat(np.arange(len(self._rows)), examples.lengths)
        for step in range(self._noise.steps):
            chosen = np.flatnonzero(self._draws.taking_part(self._rows, examples.lengths, self._noise.rate))
            self._step(step, _single(examples, chosen), owner[chosen], loss)
        place, item = np.indices(self._since.shape).reshape(2, -1)
        self._catch_up(place, item, self._noise.steps)

    def _step(self, step: int, single: Examples, owner: NDArray[np.int64], loss: Loss) -> None:
        if len(owner):
            model, local, touched = localise(self._model, single)
            if touched is not None:
                pairs = np.unique(owner[touched.client] * self._since.shape[1] + touched.item)
                self._catch_up(pairs // self._since.shape[1], pairs % self._since.shape[1], step)
            copies = borrow(self._model, self._own, owner, touched)
            parts = _clipped(model, copies, local, loss, self._noise.clip)
            for name, part in parts.items():
                _add(self._own[name], part.mul_(-self._pace), owner, self._tables.get(name), touched)
        for name in self._own.keys() - self._tables.keys() if self._noise.multiplier else ():
            drawn = self._draws.normal(name, self._rows, self._own[name].shape, step)
            self._own[name].sub_(drawn, alpha=self._scale)

    @property
    def _scale(self) -> float:
        return self._pace * self._noise.multiplier * self._noise.clip

    def _catch_up(self, place: NDArray[np.int64], item: NDArray[np.int64], step: int) -> None:
        """Add the noise that waits for some items, up to a step."""
        slices = Slices(self._rows[place], torch.from_numpy(place), torch.from_numpy(item))
        since = self._since[slices.place, slices.item]
        self._since[slices.place, slices.item] = step
        for name, axis in self._tables.items() if self._noise.multiplier else ():
            table = self._own[name].movedim(axis + 1, 1)
            shape = torch.Size((len(item), *table.shape[2:]))
            drawn = self._draws.waiting(name, slices, since, step, shape)
            if len(item) == self._since.numel():
                table.sub_(drawn.view(table.shape), alpha=self._scale)
            else:
                table[slices.place, slices.item] -= drawn.mul_(self._scale)  # no slice twice


def clipped_gradients(
    model: nn.Module, own: Parameters, single: Examples, owner: NDArray[np.int64], loss: Loss, clip: float
) -> Parameters:
    """Return every student's sum of the clipped gradients of his examples.

    A gradient that is not finite counts as zero, whatever its other entries, before anything is clipped.

    Parameters
    ----------
    model : nn.Module
        Gives the computation.
    own : Parameters
        One student per client.
    single : Examples
        One example a row.
    owner : ndarray of int64, shape [examples]
        The student of each.
    loss : callable
        As in ``fedkd.cohort.engine.train``.
    clip : float
        Largest norm.
    """
    total = {name: torch.zeros_like(stacked) for name, stacked in own.items()}
    small, local, touched = localise(model, single)
    parts = _clipped(small, borrow(model, own, owner, touched), local, loss, clip)
    for name, part in parts.items():
        _add(total[name], part, owner, item_tables(model).get(name) if single.items else None, touched)
    return total


def _clipped(model: nn.Module, copies: Parameters, local: Examples, loss: Loss, clip: float) -> Parameters:
    """Return every example's clipped gradient, from a copy of its student's parameters each, shape [examples, ...]."""
    leaves = {name: copy.detach().requires_grad_() for name, copy in copies.items()}
    columns = {name: tensor_of(column.values)[:, None] for name, column in local.columns.items()}
    gradients = torch.autograd.grad(losses_of(model, leaves, columns, loss).sum(), list(leaves.values()))
    factor = _factors(gradients, clip)
    broken = torch.nonzero(factor == 0).flatten()
    bounded = {}
    for name, gradient in zip(leaves, gradients, strict=True):
        bounded[name] = gradient.contiguous().mul_(factor.view(-1, *[1] * (gradient.ndim - 1)))
        bounded[name][broken] = 0.0  # what is not finite times zero is not zero
    return bounded


def _factors(gradients: Sequence[Tensor], clip: float) -> Tensor:
    """Return by what every example's gradient is scaled, shape [examples]; 0 where it is not finite."""
    norms = [torch.linalg.vector_norm(g, dim=tuple(range(1, g.ndim))) for g in gradients]
    norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)
    return torch.where(norm.isfinite(), (clip / (norm + 1e-6)).clamp(max=1.0), 0.0)


def _add(total: Tensor, parts: Tensor, owner: NDArray[np.int64], axis: int | None, touched: Touched | None) -> None:
    """Add every example's part to its student's total, item slices to where they belong."""
    if axis is None or touched is None:
        total.index_add_(0, torch.from_numpy(owner), parts)
        return
    slices = parts.movedim(axis + 1, 1)[torch.from_numpy(touched.client), torch.from_numpy(touched.slot)]
    place, item = torch.from_numpy(owner[touched.client]), torch.from_numpy(touched.item)
    total.movedim(axis + 1, 1).index_put_((place, item), slices, accumulate=True)


def _single(part: Examples, chosen: NDArray[np.int64]) -> Examples:
    """Return chosen examples as one row each."""
    ends = np.arange(len(chosen) + 1)
    columns: Mapping[str, Ragged] = {name: Ragged(c.values[chosen], ends) for name, c in part.columns.items()}
    return Examples(columns, part.items)


def _chunks(
    parameters: Parameters, examples: Examples, training: Training, noise: GradientNoise
) -> Iterator[NDArray[np.int64]]:
    """Yield students that are computed together: what is held of them at a time fits the memory.

    Examples with items copy a few slices each, others every parameter, three times with gradients.
    """
    copies = 0 if examples.items else 3 * math.ceil(noise.rate * int(examples.lengths.max(initial=0)))
    each = sum(4 * (1 + copies) * stacked[0].numel() for stacked in parameters.values())
    count, size = len(examples), max(1, training.chunk_bytes // max(1, each))
    yield from (np.arange(start, min(start + size, count)) for start in range(0, count, size))
