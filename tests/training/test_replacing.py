"""One example replaced by any other: how far it moves a step, and that it moves nothing else."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedkd.attacks.gradients import Point, gradient_multiplier
from fedkd.privacy.student_options import StudentPrivacy, Unit
from fedkd.ragged import Ragged
from fedkd.training.dp_sgd import Draws, GradientNoise, train_with_noise
from fedkd.training.engine import replicate
from fedkd.training.examples import Examples

ITEMS, EACH = 9, 4

WILD = [math.nan, math.inf, -math.inf, 1e38, -1e38, 1e-45, -1e-45, 0.0, -0.0, 1.0, -3.0, 1e4, -1e12]


class Tables(nn.Module):
    """Item vectors, added up and weighed by linear layers; gradients are never made one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.num_items = ITEMS
        self.table = nn.Embedding(ITEMS, 3)
        self.last = nn.Linear(3, 1)

    def forward(self, items: Tensor) -> Tensor:
        return torch.as_tensor(self.last(self.table(items).sum(-2)).squeeze(-1))


class Copied(Tables):
    """The same with a bare parameter, so every example has a copy of the student."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, items: Tensor) -> Tensor:
        return super().forward(items) * self.scale


def squared(student: Any, batch: Any) -> Tensor:
    return torch.as_tensor((student(batch["items"]) - batch["label"]) ** 2)


class Everyone(Draws):
    """All examples but some take part, and the noise is none."""

    def __init__(self, absent: NDArray[np.bool_]) -> None:
        self.absent = absent

    def taking_part(self, rows: NDArray[np.int64], lengths: NDArray[np.int64], rate: float) -> NDArray[np.bool_]:
        return ~self.absent[: int(lengths.sum())]


def examples_of(items: NDArray[np.int64], label: NDArray[np.float32]) -> Examples:
    indptr = np.arange(0, len(label) + 1, EACH)
    return Examples({"items": Ragged(items, indptr), "label": Ragged(label, indptr)})


def moved(model: nn.Module, examples: Examples, clip: float, absent: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how one step without noise moves every client's student, shape [clients, numbers]."""
    parameters = replicate(model, len(examples))
    before = {name: stacked.clone() for name, stacked in parameters.items()}
    noise = GradientNoise(clip, 0.0, 1.0, 1, 1.0)
    train_with_noise(model, parameters, examples, squared, 1.0, noise, Everyone(absent))
    parts = [(parameters[name] - before[name]).double().reshape(len(examples), -1) for name in parameters]
    return np.asarray(torch.cat(parts, 1).numpy())


def alone(model: nn.Module, items: NDArray[np.int64], label: np.float32, clip: float) -> NDArray[np.float64]:
    """Return the clipped gradient of one example, in the plainest way."""
    batch = {"items": torch.from_numpy(items)[None], "label": torch.tensor([label])}
    gradients = torch.autograd.grad(squared(model, batch).sum(), list(model.parameters()))
    flat = torch.cat([g.reshape(-1) for g in gradients]).double().numpy()
    norm = float(np.linalg.norm(flat))
    return flat * min(1.0, clip / (norm + 1e-6)) if norm < 1e19 else np.zeros_like(flat)


@pytest.mark.parametrize("model", [Tables, Copied])
@pytest.mark.parametrize("clip", [0.01, 1.0])
def test_a_replaced_example_moves_a_step_by_its_own_clipped_gradients_and_at_most_twice_the_clip(
    model: type[Tables], clip: float
) -> None:
    rng, clients = np.random.default_rng(0), 600
    torch.manual_seed(0)
    student, changed = model(), np.arange(clients * EACH) % EACH == 0  # every client's first example is replaced
    items, label = rng.integers(0, ITEMS, (2, clients * EACH, 2)), rng.normal(0, 3, (2, clients * EACH))
    wild = rng.random(label.shape) < 0.3
    label[wild] = rng.choice(WILD, int(wild.sum()))
    items[1, ~changed], label[1, ~changed] = items[0, ~changed], label[0, ~changed]
    absent = rng.random(clients * EACH) < 0.4
    before, after = ((i, y) for i, y in zip(items, label.astype(np.float32), strict=True))
    apart = moved(student, examples_of(*after), clip, absent) - moved(student, examples_of(*before), clip, absent)
    assert np.isfinite(apart).all()
    assert np.linalg.norm(apart, axis=1).max() <= 2 * clip * (1 + 1e-6) + 1e-6
    for client in range(0, clients, 5):
        row = client * EACH
        old, new = (alone(student, i[row], y[row], clip) for i, y in (before, after))
        np.testing.assert_allclose(apart[client], 0 if absent[row] else old - new, atol=2e-6)


def pushed(student: Any, batch: Any) -> Tensor:
    return torch.as_tensor(student(batch["push"]))


@pytest.mark.parametrize("promised", ["interaction", "user"])
@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_canaries_find_noise_that_is_less_than_promised(promised: Unit, epsilon: float) -> None:
    options = StudentPrivacy(epsilon=epsilon, unit=promised, rate=0.3, steps=5)
    planned = options.multiplier(1)

    def most(multiplier: float) -> float:
        noise = GradientNoise(0.5, multiplier, options.rate, options.steps, 1.0)
        return gradient_multiplier(noise, options.adjacency, 1e-3, np.random.default_rng(0), 20_000)

    assert planned <= most(planned) < 1.4 * planned
    assert most(planned / 2) < planned
    other: Unit = "user" if promised == "interaction" else "interaction"
    wrong = StudentPrivacy(epsilon=epsilon, unit=other, rate=0.3, steps=5).multiplier(1)
    assert (most(wrong) < planned) == (promised == "interaction")  # a user's noise is too little for an interaction


def test_large_parameters_do_not_round_a_small_difference_up() -> None:
    """Single precision knows multiples of 8 near 1e8: 15 known histories push just above half of that."""
    clients, held, clip = 1000, 16, 0.27
    push = np.full((clients, held), 1e6, np.float32)
    push[::2, 0] = -1e6
    examples = Examples({"push": Ragged(push.ravel(), np.arange(0, clients * held + 1, held))})
    parameters = {"at": torch.full((clients, 1), 1e8)}
    train_with_noise(Point(), parameters, examples, pushed, 1.0, GradientNoise(clip, 1.0, 1.0, 1, 1.0))
    jumped = parameters["at"][:, 0].numpy() < 1e8
    assert 0.02 < jumped[::2].mean() < jumped[1::2].mean() < 0.98
