"""Randomness that no one can guess: noise and masks never come from a run's seed."""

import math
import secrets

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from randomgen import AESCounter
from torch import Tensor


def noise_generator() -> np.random.Generator:
    """Return a generator keyed with 128 secret bits of the operating system."""
    return np.random.Generator(AESCounter(key=secrets.randbits(128)))


def standard_normal(shape: tuple[int, ...]) -> Tensor:
    """Return standard normal numbers in single precision, by Box and Muller's transform of an AES-256 key stream.

    Each comes from 31 random bits, so none exceeds 6.7 in magnitude. Single precision has gaps; it is for noise inside
    a computation, such as gradients, and not for numbers that are released as they are.
    """
    count = math.prod(shape)
    half = max(1, -(-count // 2))
    stream = Cipher(algorithms.AES(secrets.token_bytes(32)), modes.CTR(bytes(16))).encryptor()
    bits = torch.frombuffer(bytearray(stream.update(bytes(8 * half))), dtype=torch.int32).bitwise_and_(0x7FFFFFFF)
    uniform = bits.to(torch.float32).add_(0.5).mul_(2.0**-31)
    radius = uniform[:half].log_().mul_(-2).clamp_(min=0).sqrt_()
    angle = uniform[half:].mul_(2 * math.pi)
    return torch.cat([radius * angle.cos(), radius * angle.sin()])[:count].view(shape)
