"""Masks cancel modulo a power of two, and numbers take no more bits than they need."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from fedkd.errors import UserError
from fedkd.messages.serialisation import pack_bits
from fedkd.secure_aggregation import masks


@pytest.mark.parametrize("bits", [8, 9, 16, 18, 31, 32, 33, 63, 64])
def test_packing_keeps_every_number(bits: int) -> None:
    rng = np.random.default_rng(bits)
    vector = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 101, endpoint=True)
    vector[:2] = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    packed = masks.pack(masks.words(vector, bits), bits)
    assert len(packed) == masks.vector_bytes(101, bits) == -(-101 * bits // 8)
    assert (masks.centred(masks.unpack(packed, bits, 101), bits) == vector).all()
    if bits < 64:
        assert packed == pack_bits(vector, bits)


@pytest.mark.parametrize("bits", [8, 18, 32, 40, 64])
def test_a_mask_added_and_taken_away_leaves_nothing(bits: int) -> None:
    total = masks.words(np.arange(1000), bits)
    before = total.copy()
    masks.add_mask(total, bytes(range(32)), 1)
    assert (total != before).any()
    masks.add_mask(total, bytes(range(32)), -1)
    assert (total == before).all()


def test_a_mask_is_the_key_stream() -> None:
    total = masks.words(np.zeros(100, np.int64), 32)
    masks.add_mask(total, bytes(range(32)), 1)
    stream = Cipher(algorithms.ChaCha20(bytes(range(32)), bytes(16)), None).encryptor().update(bytes(400))
    assert total.tobytes() == stream


@pytest.mark.parametrize("bits", [0, 7, 65])
def test_other_widths_are_refused(bits: int) -> None:
    with pytest.raises(UserError, match="8 to 64 bits"):
        masks.words(np.zeros(3, np.int64), bits)


def test_fractions_are_refused() -> None:
    with pytest.raises(UserError, match="whole numbers"):
        masks.words(np.array([0.5, np.nan]), 32)
