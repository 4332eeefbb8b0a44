"""A plain Gaussian mechanism, written without the code that it checks."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.ragged import Ragged

Mechanism = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def clip_rows(contributions: NDArray[np.float64], clip: float) -> NDArray[np.float64]:
    """Zero what is not finite, then shorten."""
    finite = np.where(np.isfinite(contributions), contributions, 0.0)
    norms = np.sqrt(np.einsum("ij,ij->i", finite, finite))[:, None]
    return finite * np.minimum(1.0, clip / np.maximum(norms, 1e-300))


def gaussian_sum(clip: float, deviation: float, rng: np.random.Generator) -> Mechanism:
    """The clipped sum with noise."""
    return lambda rows: clip_rows(rows, clip).sum(axis=0) + rng.normal(0, deviation, rows.shape[1])


@pytest.fixture
def clipped_rows() -> Callable[..., NDArray[np.float64]]:
    return clip_rows


@pytest.fixture
def correct_mechanism() -> Callable[..., Mechanism]:
    return gaussian_sum


@pytest.fixture
def private_interactions() -> Callable[[int], Interactions]:
    def make(users: int, items: int = 40) -> Interactions:
        rng = np.random.default_rng(0)
        rows = [rng.choice(items, rng.integers(6, 14), replace=False) for _ in range(users)]
        names = np.arange(users).astype(np.str_)
        return Interactions(names, Ragged.from_rows(rows, np.int32), Catalogue.numbered(items))

    return make
