"""Cryptographic randomness: noise and masks never come from a run's seed."""

import math
import secrets

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray
from randomgen import AESCounter


def noise_generator() -> np.random.Generator:
    """Return a generator keyed with 128 secret bits of the operating system."""
    return np.random.Generator(AESCounter(key=secrets.randbits(128)))


def rounded_normal(
    scale: float, count: int, shape: tuple[int, ...], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return the sum of ``count`` draws of Gaussian noise, each rounded to whole numbers.

    Added to whole numbers, rounding is post-processing: the guarantee is that of the Gaussian mechanism.
    """
    total = np.zeros(shape, np.int64)
    for _ in range(count):
        total += np.rint(generator.normal(0.0, scale, shape)).astype(np.int64)
    return total


BLOCK = 2**15
"""Numbers drawn at a time: they fit the processor's cache, which is faster than all at once."""


def standard_normal(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return standard normal numbers in single precision, by Box and Muller's transform of an AES-256 key stream.

    Radii come from 62 random bits, so magnitudes reach 9.3, which one in 10^20 exceeds. Single precision has gaps; it
    is for noise inside a computation, such as gradients, and not for numbers that are released as they are.
    """
    out = np.empty(math.prod(shape), np.float32)
    half = min(BLOCK, len(out) + 1) // 2
    stream = Cipher(algorithms.AES(secrets.token_bytes(32)), modes.CTR(bytes(16))).encryptor()
    zeros, bits = bytes(12 * half), np.empty(3 * half + 4, np.int32)  # the cipher wants room for one more of its blocks
    for start in range(0, len(out), 2 * max(1, half)):
        stream.update_into(zeros, bits.data.cast("B"))
        _box_muller(bits[: 3 * half].reshape(3, half), out[start : start + 2 * half])
    return out.reshape(shape)


def _box_muller(bits: NDArray[np.int32], out: NDArray[np.float32]) -> None:
    """Fill ``out``, of shape [at most 2 * half], from random bits of shape [3, half]; every step in place."""
    bits[:2] &= 0x7FFFFFFF
    radius, finer, angle = bits.astype(np.float32)
    finer += np.float32(0.5)
    finer *= np.float32(2.0**-31)
    radius += finer
    radius *= np.float32(2.0**-31)
    np.log(radius, out=radius)
    radius *= np.float32(-2)
    np.sqrt(np.maximum(radius, 0, out=radius), out=radius)
    angle *= np.float32(math.pi * 2.0**-31)
    for wave, part in zip((np.cos, np.sin), np.split(out, [len(radius)]), strict=True):
        wave(angle[: len(part)], out=part)
        part *= radius[: len(part)]
