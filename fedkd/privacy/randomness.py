"""Randomness that no one can guess: noise and masks never come from a run's seed."""

import secrets

import numpy as np
from randomgen import AESCounter


def noise_generator() -> np.random.Generator:
    """Return a generator keyed with 128 secret bits of the operating system."""
    return np.random.Generator(AESCounter(key=secrets.randbits(128)))
