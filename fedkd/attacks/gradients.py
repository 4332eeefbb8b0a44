"""Canaries in the noisy training of students: how well a trained student reveals what was in a history.

Every canary is the one history of a student of a single number, and pushes it as far as the clip allows. The unit
interaction is claimed to hide any change of a history, so a canary that is out pushes the other way; the unit user
to hide its presence, so a canary that is out is not there. All canaries are trained together, by the engine that
trains real students.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from fedkd.attacks.canaries import separation
from fedkd.privacy.events import Adjacency
from fedkd.privacy.schedule import SENSITIVITY
from fedkd.ragged import Ragged, offsets
from fedkd.training.chunks import Model
from fedkd.training.dp_sgd import GradientNoise, train_with_noise
from fedkd.training.engine import replicate
from fedkd.training.examples import Examples

PUSH = 1e6
"""Gradient of a canary; only a clip bounds it."""


class Point(nn.Module):
    """A single number as a model; its gradient is the example itself."""

    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.zeros(1))

    def forward(self, push: Tensor) -> Tensor:
        """Return the number times the push, shape [batch]."""
        return push * self.at


def gradient_multiplier(
    noise: GradientNoise, adjacency: Adjacency, failure: float, rng: np.random.Generator, canaries: int
) -> float:
    """Return the most that the noise of training can be, over the clip, as far as it is Gaussian.

    Every canary takes part in every step, whatever the sampling rate: clip and noise are what is attacked here.

    Parameters
    ----------
    noise : GradientNoise
        Of all steps of a run.
    adjacency : str
        ``replace-one``: a canary is itself or its opposite; ``add-remove``: it is there or not.
    failure : float
        Probability with which the bound may be below the truth.
    rng : numpy.random.Generator
        Decides which canary is which.
    canaries : int
        How many students of their own.
    """
    present = rng.random(canaries) < 0.5
    there = present if adjacency == "add-remove" else np.ones(canaries, bool)
    push = np.where(present, PUSH, -PUSH)[there].astype(np.float32)
    examples = Examples({"push": Ragged(push, offsets(there.astype(np.int64)))})
    model, parameters = Point(), replicate(Point(), canaries)
    train_with_noise(model, parameters, examples, _pushed, 1.0, replace(noise, rate=1.0))
    shift = separation(-parameters["at"][:, 0].numpy().astype(np.float64), present, failure)
    moved = SENSITIVITY["vector"][adjacency] * math.sqrt(noise.steps)
    return moved / shift if shift else math.inf


def _pushed(student: Model, batch: Mapping[str, Tensor]) -> Tensor:
    return torch.as_tensor(student(batch["push"]))
