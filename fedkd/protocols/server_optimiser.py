"""The server's own optimiser, which uses a pooled change of parameters as a step or as a gradient for Adam."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.types import Estimate, Estimates
from fedkd.models.arrays import load_arrays, model_arrays
from fedkd.models.base import Recommender
from fedkd.protocols.base import State

Arrays = Mapping[str, NDArray[Any]]

STUDENT, MEAN, SQUARE = "student.", "adam-mean.", "adam-square."
MEAN_DECAY, SQUARE_DECAY, TINY = 0.9, 0.999, 1e-8


def under(prefix: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def part(state: State, prefix: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a state whose names begin with ``prefix``, without it."""
    return under(prefix, state.arrays)


def named(prefix: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Return arrays with ``prefix`` before their names."""
    return {prefix + name: array for name, array in arrays.items()}


def student_arrays(model: Recommender) -> dict[str, NDArray[Any]]:
    """Return a model as the arrays in which a state holds the global student, in full precision."""
    return named(STUDENT, model_arrays(model))


def student_of(state: State, blank: Recommender) -> Recommender:
    """Return the global student that a state holds."""
    return load_arrays(blank, part(state, STUDENT)).eval()


def moved(state: State, change: Arrays, rate: float) -> State:
    """Return the state whose student has moved by ``rate`` times the change."""
    student = {name: a + np.asarray(rate * change[name], a.dtype) for name, a in part(state, STUDENT).items()}
    return state.with_arrays(**named(STUDENT, student))


def adam_moved(state: State, change: Arrays, rate: float, decay: float = 0.0) -> State:
    """Return the state after a step of Adam on the student, with the change as the negative gradient.

    Kingma & Ba, Adam, ICLR 2015, on pooled changes as in Reddi et al., Adaptive federated optimization, ICLR 2021
    (FedAdam). The moments are part of the state.

    Parameters
    ----------
    state : State
        The state with the student and the moments of earlier steps.
    change : mapping of str to ndarray
        The pooled change of every parameter.
    rate : float
        Step size.
    decay : float
        L2 penalty, added to the gradient.
    """
    student, mean, square = (part(state, prefix) for prefix in (STUDENT, MEAN, SQUARE))
    count = int(state.arrays.get("adam-steps", np.zeros(()))) + 1
    for name, before in student.items():
        gradient = decay * before - np.asarray(change[name], before.dtype)
        mean[name] = MEAN_DECAY * mean.get(name, 0.0) + (1 - MEAN_DECAY) * gradient
        square[name] = SQUARE_DECAY * square.get(name, 0.0) + (1 - SQUARE_DECAY) * gradient**2
        spread = np.sqrt(square[name] / (1 - SQUARE_DECAY**count)) + TINY
        student[name] = before - np.asarray(rate / (1 - MEAN_DECAY**count) * mean[name] / spread, before.dtype)
    arrays = named(STUDENT, student) | named(MEAN, mean) | named(SQUARE, square)
    return state.with_arrays(**arrays, **{"adam-steps": np.array(count)})


SUM, VARIANCE, WEIGHT = "pooled.sum.", "pooled.variance.", "pooled.weight"
"""Names of the sums of a round in a state, of the variances of their noise, and of their weight."""


def pooled(state: State, estimates: Estimates) -> State:
    """Return the state whose sums have grown by some estimates."""
    sums, variances = part(state, SUM), part(state, VARIANCE)
    for name, estimate in estimates.values.items():
        sums[name] = sums.get(name, 0.0) + np.asarray(estimate.value, np.float64)
        variances[name] = np.array(variances.get(name, 0.0) + estimate.std**2)
    weight = np.array(float(state.arrays.get(WEIGHT, 0.0)) + estimates.weight)
    return state.with_arrays(**named(SUM, sums), **named(VARIANCE, variances), **{WEIGHT: weight})


def taken(state: State, name: str) -> tuple[State, Estimate, float]:
    """Return the state without its sums, one of the sums, and its weight, which is 0 if nothing was pooled."""
    rest = {key: array for key, array in state.arrays.items() if not key.startswith("pooled.")}
    std = float(state.arrays.get(VARIANCE + name, 0.0)) ** 0.5
    total = Estimate(state.arrays.get(SUM + name, np.zeros(())), std)
    return State(state.setup, rest), total, float(state.arrays.get(WEIGHT, 0.0))
