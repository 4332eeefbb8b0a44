"""Masks: key streams read as whole numbers modulo a power of two."""

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray

from fedkd.errors import UserError
from fedkd.messages.serialisation import pack_bits, packed_bytes, unpack_bits

Words = NDArray[np.unsignedinteger]


def words(vector: NDArray[np.integer], bits: int) -> Words:
    """Return whole numbers in the smallest unsigned type of at least ``bits`` bits, shape [count].

    Raises
    ------
    UserError
        Not whole numbers, or bits outside 8 to 64.
    """
    if not 8 <= bits <= 64:
        raise UserError(f"a secure sum takes numbers of 8 to 64 bits, not of {bits}")
    if not np.issubdtype(vector.dtype, np.integer):
        raise UserError(f"a secure sum takes whole numbers, not {vector.dtype}")
    return vector.reshape(-1).astype(_word(bits))


def _word(bits: int) -> np.dtype[np.unsignedinteger]:
    return np.dtype(f"<u{next(width for width in (1, 2, 4, 8) if bits <= 8 * width)}")


def add_mask(total: Words, seed: bytes, sign: int) -> None:
    """Add (sign 1) or take away (sign -1) in place the mask that 32 secret bytes stand for.

    A seed is used for one mask only, therefore the nonce is zero.
    """
    stream = Cipher(algorithms.ChaCha20(seed, bytes(16)), None).encryptor().update(bytes(total.nbytes))
    mask = np.frombuffer(stream, total.dtype)
    (np.add if sign > 0 else np.subtract)(total, mask, out=total)


def pack(total: Words, bits: int) -> bytes:
    """Write numbers modulo ``2**bits``, ``bits`` bits each, most significant bit first."""
    if bits == 8 * total.itemsize:
        return total.astype(total.dtype.newbyteorder(">")).tobytes()
    return pack_bits(total.astype(np.int64), bits)


def unpack(data: bytes, bits: int, count: int) -> Words:
    """Read what ``pack`` wrote; the length must have been checked."""
    word = _word(bits)
    if bits == 8 * word.itemsize:
        return np.frombuffer(data, word.newbyteorder(">")).astype(word)
    return unpack_bits(data, bits, count, signed=False).astype(word)


def vector_bytes(count: int, bits: int) -> int:
    """Return the bytes of a masked vector."""
    return packed_bytes(count, bits)


def centred(total: Words, bits: int) -> NDArray[np.int64]:
    """Read the upper half of the range modulo ``2**bits`` as negative numbers."""
    shift = np.uint64(64 - bits)
    return (total.astype(np.uint64) << shift).view(np.int64) >> np.int64(64 - bits)
