"""Hashes that are the same everywhere, because models that rely on them travel without them."""

import zlib

import numpy as np
import torch
from torch import Tensor


def hashed(text: str, buckets: int) -> int:
    """Return a bucket for a text."""
    return zlib.crc32(text.encode()) % buckets


def hashed_positions(count: int, hashes: int, buckets: int) -> Tensor:
    """Return buckets for the positions of items, int64 of shape [count, hashes]."""
    codes = [[hashed(f"{number}/{item}", buckets) for number in range(hashes)] for item in range(count)]
    return torch.from_numpy(np.array(codes, np.int64).reshape(count, hashes))
