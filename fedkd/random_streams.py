"""Random streams addressed by name, so that results do not depend on which clients share a process."""

import zlib

import numpy as np


def stream(seed: int, *path: int | str) -> np.random.Generator:
    """Return the generator of one purpose, for example ``stream(seed, "train", round, client)``.

    Parameters
    ----------
    seed : int
        The run's seed, not negative.
    *path : int or str
        What the numbers are for. Different paths give independent streams; equal paths give equal ones.

    Returns
    -------
    numpy.random.Generator
        A counter-based (Philox) generator.
    """
    words = tuple(zlib.crc32(part.encode()) if isinstance(part, str) else part for part in path)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=words)))
