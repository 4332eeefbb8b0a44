"""DP-SGD of all students of a cohort at once (Abadi et al., Deep learning with differential privacy, CCS 2016).

Students of linear layers and tables never make the gradient of a single example (``fedkd.training.ghost_norms``). For
others every example is a client of its own, with a copy of the item slices that it touches: the one backward pass of
the cohort engine then gives the gradient of every example. Either way norms are exact, and items that an example holds
twice are summed first.

The constants that accounting relies on are public: the sampling rate, the number of steps and the divisor do not depend
on how much data a client has, and clients without any take the same steps.

Every step puts noise on every item. Steps are plain gradient steps, so the noise on an item may wait until the item is
read again, and comes then in one draw with the variance of all: the same distribution as step by step, for a fraction
of the work (Lim et al., LazyDP, ASPLOS 2024). When training ends no noise is left waiting.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedkd.errors import UserError
from fedkd.privacy.randomness import noise_generator, standard_normal
from fedkd.ragged import Ragged
from fedkd.training.chunks import CHUNK_BYTES, Loss, Parameters, borrow, item_tables, localise
from fedkd.training.example_clipping import add_to, clipped_each
from fedkd.training.examples import Examples, tensor_of
from fedkd.training.ghost_norms import Ghost, ghost_of


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
        The noisy sum is divided by it: a planned number of examples in a step.
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
    """The secret randomness of DP-SGD: the examples of every step, and the noise."""

    def __init__(self) -> None:
        self._generator = noise_generator()

    def taking_part(self, rows: NDArray[np.int64], lengths: NDArray[np.int64], rate: float) -> NDArray[np.bool_]:
        """Return a mark for every example of the students ``rows`` that takes part, client after client.

        Its shape is [sum of lengths].
        """
        del rows
        return self._generator.random(int(lengths.sum())) < rate

    def normal(self, name: str, rows: NDArray[np.int64], shape: torch.Size, step: int) -> Tensor:
        """Return one step's standard normal numbers for a parameter of the students ``rows``, of shape [rows, ...]."""
        del name, rows, step
        return torch.from_numpy(standard_normal(shape))

    def waiting(self, name: str, slices: "Slices", since: Tensor, step: int, shape: torch.Size) -> Tensor:
        """Return, for slices of an item table, the sums of the normal numbers of the steps ``since`` to ``step - 1``.

        Parameters
        ----------
        name : str
            The table.
        slices : Slices
            The students' items.
        since : Tensor of int64, shape [slices]
            The first step that is not in a slice yet.
        step : int
            The first step that stays out.
        shape : torch.Size
            Shape of the result, [slices, ...].
        """
        del name, slices
        deviation = (step - since).to(torch.float32).sqrt()
        return torch.from_numpy(standard_normal(shape)).mul_(deviation.view(-1, *[1] * (len(shape) - 1)))


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
    learning_rate: float,
    noise: GradientNoise,
    draws: Draws | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> None:
    """Train every client's student on its own examples under DP-SGD, in place, by plain gradient steps.

    Parameters
    ----------
    model, parameters, examples, loss
        As in ``fedkd.training.engine.train``; the unit of privacy is one example.
    learning_rate : float
        Step size.
    noise : GradientNoise
        Clip, noise, sampling, steps and divisor.
    draws : Draws, optional
        The randomness; that of the operating system without it.
    chunk_bytes : int
        Memory for the students that are computed together.
    """
    draws = draws or Draws()
    tables = item_tables(model) if examples.items else {}
    whole = parameters.keys() == dict(model.named_parameters()).keys()
    ghost = ghost_of(model, examples, loss) if whole else None
    for rows in _chunks(parameters, examples, chunk_bytes, noise, ghost):
        own = {name: stacked[int(rows[0]) : int(rows[-1]) + 1] for name, stacked in parameters.items()}
        chunk = _Chunk(model, tables, own, rows, learning_rate, noise, draws)
        chunk.train(examples.take(rows), loss, ghost)


class _Chunk:
    """Students that are trained together, with the noise that is still to be added to them."""

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

    def train(self, examples: Examples, loss: Loss, ghost: Ghost | None) -> None:
        """Train the students by all steps."""
        owner = np.repeat(np.arange(len(self._rows)), examples.lengths)
        for step in range(self._noise.steps):
            change = self._fresh_noise(step)
            chosen = np.flatnonzero(self._draws.taking_part(self._rows, examples.lengths, self._noise.rate))
            if len(chosen):
                single = _single(examples, chosen)
                self._catch_up(*self._reads(single, owner[chosen]), step)
                self._learn(single, owner[chosen], loss, ghost, {**self._own, **change})
            for name, noisy in change.items():
                self._own[name].add_(noisy)
        place, item = np.indices(self._since.shape).reshape(2, -1)
        self._catch_up(place, item, self._noise.steps)

    def _reads(self, single: Examples, owner: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the items that examples hold, once for each student: its place in the chunk, and the item."""
        count, items = self._since.shape
        held = np.zeros((count, items + 1), np.bool_)
        for name in single.items:
            held[owner[:, None], single.columns[name].values.reshape(len(owner), -1)] = True
        held[:, items] = False  # padding
        place, item = np.divmod(np.flatnonzero(held).astype(np.int64, copy=False), items + 1)
        return place, item

    def _learn(
        self, single: Examples, owner: NDArray[np.int64], loss: Loss, ghost: Ghost | None, target: Parameters
    ) -> None:
        """Add a step along clipped gradients to ``target``; without a ghost, from a copy of the student an example."""
        if ghost:
            columns, weight = _rectangle(single, owner, len(self._rows))
            ghost.add_clipped(self._own, columns, weight * -self._pace, loss, self._noise.clip, target)
            return
        model, local, touched = localise(self._model, single)
        parts = clipped_each(model, borrow(self._model, self._own, owner, touched), local, loss, self._noise.clip)
        for name, part in parts.items():
            add_to(target[name], part.mul_(-self._pace), owner, self._tables.get(name), touched)

    def _fresh_noise(self, step: int) -> Parameters:
        """Return a step's noise on all parameters but item tables; gradients are added to it, and then it to them.

        Added to the parameters first, gradients would be rounded as coarsely as large parameters are, and a sender of
        such parameters could turn this into steps far longer than the clip.
        """
        change = {}
        for name in (name for name in self._own if name not in self._tables):
            shape = self._own[name].shape
            drawn = self._draws.normal(name, self._rows, shape, step) if self._noise.multiplier else torch.zeros(shape)
            change[name] = drawn.mul_(-self._scale)
        return change

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
                table.index_put_((slices.place, slices.item), drawn.mul_(-self._scale), accumulate=True)


def _single(part: Examples, chosen: NDArray[np.int64]) -> Examples:
    """Return chosen examples as one row each."""
    ends = np.arange(len(chosen) + 1)
    columns: Mapping[str, Ragged] = {name: Ragged(c.values[chosen], ends) for name, c in part.columns.items()}
    return replace(part, columns=columns)


def _rectangle(single: Examples, owner: NDArray[np.int64], count: int) -> tuple[dict[str, Tensor], Tensor]:
    """Return examples by student, shape [count, width, ...], and 1 where there is one, 0 where one is repeated."""
    sizes = np.bincount(owner, minlength=count)
    inside = np.arange(sizes.max()) < sizes[:, None]
    rows = np.zeros(inside.shape, np.int64)
    rows[inside] = np.arange(len(owner))
    columns = {name: tensor_of(column.values[rows]) for name, column in single.columns.items()}
    return columns, torch.from_numpy(inside.astype(np.float32))


def _chunks(
    parameters: Parameters, examples: Examples, chunk_bytes: int, noise: GradientNoise, ghost: Ghost | None
) -> Iterator[NDArray[np.int64]]:
    """Yield students that are computed together and fit the memory.

    Every student is held with its noise. An example with items copies a few slices, with a ghost it holds what layers
    put out, some six times, otherwise every parameter three times with gradients.
    """
    size, taking_part = sum(one[0].numel() for one in parameters.values()), noise.rate * examples.lengths.max(initial=0)
    outputs = sum(math.prod(shape) for shape in ghost.shapes.values()) if ghost else 0
    example = 0 if examples.items else 6 * outputs if ghost else 3 * size
    each = 4 * (2 * size + example * math.ceil(taking_part))
    count, together = len(examples), max(1, chunk_bytes // max(1, each))
    yield from (np.arange(start, min(start + together, count)) for start in range(0, count, together))
