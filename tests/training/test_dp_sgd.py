"""DP-SGD of a cohort against Opacus, one client at a time, and against what could break its promise."""

import math
import warnings
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from scipy import stats
from torch import Tensor, nn

from fedkd.errors import UserError
from fedkd.privacy.randomness import BLOCK, standard_normal
from fedkd.ragged import Ragged, offsets
from fedkd.training.chunks import borrow, item_tables, localise
from fedkd.training.dp_sgd import Draws, GradientNoise, Slices, train_with_noise
from fedkd.training.engine import replicate
from fedkd.training.example_clipping import add_to, clipped_each
from fedkd.training.examples import Examples
from tests.training.naive import clipped_sums

ITEMS, WIDTH = 12, 4


class Factors(nn.Module):
    """A client's own taste against item vectors: an example is an item, twice, and a label."""

    item_tables: ClassVar[dict[str, int]] = {"table.weight": 0}

    def __init__(self) -> None:
        super().__init__()
        self.num_items = ITEMS
        self.table = nn.Embedding(ITEMS, WIDTH)
        self.taste = nn.Linear(WIDTH, 1)

    def forward(self, items: Tensor) -> Tensor:
        return torch.as_tensor(self.taste(self.table(items).sum(-2)).squeeze(-1))


def squared(student: Any, batch: Any) -> Tensor:
    return torch.as_tensor((student(batch["items"]) - batch["label"]) ** 2)


def made_up(lengths: list[int], seed: int = 0) -> Examples:
    rng, count = np.random.default_rng(seed), sum(lengths)
    items = rng.integers(0, ITEMS, (count, 2))
    items[::3, 1] = items[::3, 0]  # an item twice in one example
    indptr = offsets(np.array(lengths))
    label = rng.normal(0, 2, count).astype(np.float32)
    return Examples({"items": Ragged(items, indptr), "label": Ragged(label, indptr)}, items=("items",))


class Scripted(Draws):
    """Randomness that a client-at-a-time run can repeat: all steps' noise, drawn in the order of its parameters."""

    def __init__(self, clients: int, steps: int, seed: int = 0) -> None:
        self.masks = [np.random.default_rng([seed, c]) for c in range(clients)]
        self.generators = [torch.Generator().manual_seed(100 * seed + c) for c in range(clients)]
        again = [torch.Generator().manual_seed(100 * seed + c) for c in range(clients)]
        shapes = {name: p.shape for name, p in Factors().named_parameters()}
        self.noise = [
            [{name: torch.normal(0.0, 1.0, shape, generator=g) for name, shape in shapes.items()} for _ in range(steps)]
            for g in again
        ]

    def taking_part(self, rows: NDArray[np.int64], lengths: NDArray[np.int64], rate: float) -> NDArray[np.bool_]:
        parts = [self.masks[row].random(n) < rate for row, n in zip(rows, lengths, strict=True)]
        return np.concatenate([*parts, np.zeros(0, bool)])

    def normal(self, name: str, rows: NDArray[np.int64], shape: torch.Size, step: int) -> Tensor:
        return torch.stack([self.noise[row][step][name] for row in rows])

    def waiting(self, name: str, slices: Slices, since: Tensor, step: int, shape: torch.Size) -> Tensor:
        which = zip(slices.row, slices.item, since, strict=True)
        sums = [
            sum((self.noise[r][s][name][i] for s in range(int(b), step)), torch.zeros(shape[1:])) for r, i, b in which
        ]
        return torch.stack(sums)


def by_opacus(examples: Examples, client: int, rate: float, noise: GradientNoise, draws: Scripted) -> nn.Module:
    """One student, one client, Opacus' own clipping, noise and division."""
    torch.manual_seed(3)
    model = Factors()
    wrapped = GradSampleModule(model)
    optimiser = DPOptimizer(
        torch.optim.SGD(wrapped.parameters(), lr=rate),
        noise_multiplier=noise.multiplier,
        max_grad_norm=noise.clip,
        expected_batch_size=noise.divisor,
        generator=draws.generators[client],
    )
    own = examples.take(np.array([client]))
    for _ in range(noise.steps):
        chosen = draws.taking_part(np.array([client]), own.lengths, noise.rate)
        assert chosen.any(), "Opacus does not survive an empty batch, so this comparison has none"
        batch = {name: torch.from_numpy(column.values[chosen]) for name, column in own.columns.items()}
        optimiser.zero_grad()
        squared(wrapped, batch).mean().backward()
        optimiser.step()
    return model


@pytest.mark.parametrize("multiplier", [0.0, 1.3])
@pytest.mark.parametrize("clip", [0.7, 50.0])
def test_students_are_those_of_opacus_one_client_at_a_time(multiplier: float, clip: float) -> None:
    examples, rate = made_up([9, 30, 17, 12]), 0.05
    noise = GradientNoise(clip=clip, multiplier=multiplier, rate=0.5, steps=6, divisor=8.0)
    torch.manual_seed(3)
    model = Factors()
    parameters = replicate(model, 4)
    train_with_noise(model, parameters, examples, squared, rate, noise, Scripted(4, 6))
    for client in range(4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = by_opacus(examples, client, rate, noise, Scripted(4, 6))
        for name, parameter in expected.named_parameters():
            torch.testing.assert_close(parameters[name][client], parameter.detach(), atol=1e-6, rtol=1e-6)


def test_chunks_do_not_change_the_result() -> None:
    examples, noise = made_up([5, 0, 9, 2, 7]), GradientNoise(1.0, 1.0, 0.4, 5, 3.0)
    results = []
    for chunk_bytes in (1, 2**24):
        torch.manual_seed(0)
        model = Factors()
        parameters = replicate(model, 5)
        train_with_noise(model, parameters, examples, squared, 0.1, noise, Scripted(5, 5), chunk_bytes)
        results.append(parameters)
    for name in results[0]:
        torch.testing.assert_close(results[0][name], results[1][name], atol=1e-6, rtol=1e-6)


def test_empty_steps_and_empty_clients_take_noise_alone_and_as_many_steps() -> None:
    examples = made_up([0, 3])
    noise = GradientNoise(clip=1.0, multiplier=1.0, rate=1e-9, steps=50, divisor=2.0)
    model = Factors()
    parameters = replicate(model, 2)
    before = {name: tensor.clone() for name, tensor in parameters.items()}
    train_with_noise(model, parameters, examples, squared, 1.0, noise)
    for client in range(2):
        moved = torch.cat([(parameters[name][client] - before[name][client]).ravel() for name in parameters])
        expected = math.sqrt(noise.steps) / noise.divisor
        assert 0.6 * expected < float(moved.std()) < 1.5 * expected


def copied_sums(
    model: nn.Module, own: dict[str, Tensor], single: Examples, owner: NDArray[np.int64], clip: float
) -> dict[str, Tensor]:
    """Return every student's sum of clipped gradients, from a copy of the student for every example."""
    total = {name: torch.zeros_like(stacked) for name, stacked in own.items()}
    small, local, touched = localise(model, single)
    for name, part in clipped_each(small, borrow(model, own, owner, touched), local, squared, clip).items():
        add_to(total[name], part, owner, item_tables(model).get(name), touched)
    return total


def test_what_is_not_finite_counts_as_nothing_and_touches_nobody_else() -> None:
    examples = made_up([4, 4])
    label = examples.columns["label"].values
    label[1], label[2], label[6] = np.nan, np.inf, 1e38
    model = Factors()
    own = replicate(model, 2)
    rows = Examples({n: Ragged(c.values, np.arange(9)) for n, c in examples.columns.items()}, ("items",))
    total = copied_sums(model, own, rows, np.repeat([0, 1], 4), 1.0)
    sound = np.array([0, 3, 4, 5, 7])
    alone = Examples({n: Ragged(c.values[sound], np.arange(6)) for n, c in examples.columns.items()}, ("items",))
    expected = clipped_sums(model, own, alone, np.array([0, 0, 1, 1, 1]), squared, 1.0)
    for name in total:
        torch.testing.assert_close(total[name], expected[name])


def test_no_example_moves_a_sum_by_more_than_the_clip() -> None:
    rng, model = np.random.default_rng(0), Factors()
    count, clip = 2500, 0.3
    label = np.exp(rng.uniform(-88, 88, count)) * rng.choice([-1, 1], count)
    label[:6] = [np.nan, np.inf, -np.inf, 1e38, 1e-45, 0.0]
    columns = {"items": rng.integers(0, ITEMS, (count, 2)), "label": label.astype(np.float32)}
    examples = Examples({name: Ragged(values, np.arange(count + 1)) for name, values in columns.items()}, ("items",))
    for scale in (1e-3, 1.0, 1e3, 1e15):
        own = {name: scale * stacked for name, stacked in replicate(model, count).items()}
        total = copied_sums(model, own, examples, np.arange(count), clip)
        square = sum(tensor.double().reshape(count, -1).square().sum(1) for tensor in total.values())
        assert torch.as_tensor(square).isfinite().all()
        assert float(torch.as_tensor(square).sqrt().max()) <= clip * (1 + 1e-6)


class Recorded(Draws):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def normal(self, name: str, rows: NDArray[np.int64], shape: torch.Size, step: int) -> Tensor:
        self.asked.append(name)
        return super().normal(name, rows, shape, step)


def test_noise_is_drawn_in_the_order_of_the_parameters() -> None:
    """Whatever the hash seed of the process: equal keys then give equal students."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 1))
    examples = Examples({"x": Ragged(np.ones((4, 2), np.float32), np.array([0, 1, 4]))})
    draws, noise = Recorded(), GradientNoise(clip=1.0, multiplier=1.0, rate=0.5, steps=2, divisor=2.0)
    train_with_noise(model, replicate(model, 2), examples, lambda s, b: s(b["x"])[:, 0] ** 2, 0.1, noise, draws)
    assert draws.asked == 2 * [name for name, _ in model.named_parameters()]


def test_constants_do_not_depend_on_how_much_data_a_client_has() -> None:
    """All noise of all steps lies on every number in the end, with 0, 1 and 40 examples, whatever was touched when."""
    noise = GradientNoise(clip=1e-9, multiplier=1e9, rate=0.3, steps=7, divisor=5.0)
    for length in (0, 1, 40):
        moved: list[Tensor] = []
        model = Factors()
        for seed in range(300 // ITEMS):
            parameters = replicate(model, 1)
            train_with_noise(model, parameters, made_up([length], seed), squared, 1.0, noise)
            moved += [(parameters[n][0] - p.detach()).ravel() for n, p in model.named_parameters()]
        values = torch.cat(moved).numpy() * noise.divisor / math.sqrt(noise.steps)
        assert stats.kstest(values, "norm").pvalue > 1e-4


@pytest.mark.parametrize(
    "wrong",
    [
        {"clip": 0.0},
        {"clip": math.nan},
        {"rate": 1.5},
        {"rate": 0.0},
        {"steps": 0},
        {"divisor": 0.0},
        {"multiplier": -1.0},
        {"multiplier": math.inf},
    ],
)
def test_impossible_constants_are_refused(wrong: dict[str, float]) -> None:
    fine: dict[str, Any] = {"clip": 1.0, "multiplier": 1.0, "rate": 0.1, "steps": 3, "divisor": 2.0}
    with pytest.raises(UserError):
        GradientNoise(**{**fine, **wrong})


def test_the_noise_is_normal_and_never_repeats() -> None:
    values = standard_normal((1001, 199)).ravel()
    assert stats.kstest(values, "norm").pvalue > 1e-4
    assert abs(stats.kurtosis(values)) < 0.1
    assert abs(np.corrcoef(values[: len(values) // 2], values[-(len(values) // 2) :])[0, 1]) < 0.02
    assert not np.array_equal(values, standard_normal((1001, 199)).ravel())
    assert np.isfinite(values).all()
    for count in (0, 1, 2, 3, BLOCK, BLOCK + 1):
        few = standard_normal((count, 1))
        assert few.shape == (count, 1)
        assert np.isfinite(few).all()
        assert len(np.unique(few)) >= 0.99 * count
