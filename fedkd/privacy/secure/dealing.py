"""Shares of a party's two secrets on their way to its neighbours, and what the secrets turn into.

A neighbour gets 64 bytes: its share of the self-mask's seed, then its share of the private mask key. The first
``threshold - 1`` neighbours derive theirs from the secret they have with the dealer, so that only the others' travel.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from fedkd.privacy.secure import keys, shamir
from fedkd.privacy.secure.graph import Shape

SHARES = 2 * keys.KEY
BOX = SHARES + 16
_NONCE = bytes(12)  # a box key is derived for one dealer, holder and round, and seals one box


def commitment(context: bytes, place: int, seed: bytes) -> bytes:
    """Return the 32 bytes by which the server knows the right self-mask seed when it sees it."""
    return keys.derive(keys.extract(seed, context), b"commitment", place, place)


def self_mask(context: bytes, place: int, seed: bytes) -> bytes:
    """Return the key of the mask that hides a vector even from those who know all pairwise masks."""
    return keys.derive(keys.extract(seed, context), b"self mask", place, place)


def pair_mask(place: int, other: int, agreed: bytes) -> bytes:
    """Return the key of the mask that the lower of two positions adds and the higher takes away."""
    return keys.derive(agreed, b"pair mask", min(place, other), max(place, other))


def is_sent(holder: int, shape: Shape) -> bool:
    """Say whether neighbour number ``holder``, counted from 0, is sent its shares in a box."""
    return holder >= shape.threshold - 1


def deal(place: int, neighbours: list[int], channels: list[bytes], shape: Shape, seed: bytes, private: bytes) -> bytes:
    """Return the boxes for the neighbours that are sent one, 80 bytes each, in the order of the neighbours."""
    free = [_derived(place, neighbours[j], channels[j]) for j in range(shape.threshold - 1)]
    seeds = shamir.deal(number(seed), [number(one[: keys.KEY]) for one in free], shape.neighbours)
    privates = shamir.deal(number(private), [number(one[keys.KEY :]) for one in free], shape.neighbours)
    boxes = []
    for j, (one, other) in enumerate(zip(seeds, privates, strict=True), shape.threshold - 1):
        key = keys.derive(channels[j], b"box", place, neighbours[j])
        boxes.append(ChaCha20Poly1305(key).encrypt(_NONCE, field(one) + field(other), None))
    return b"".join(boxes)


def derived_shares(dealer: int, holder: int, channel: bytes) -> bytes:
    """Return the shares of a neighbour that is sent none."""
    return b"".join(field(number(half)) for half in _halves(_derived(dealer, holder, channel)))


def open_box(dealer: int, holder: int, channel: bytes, box: bytes) -> bytes:
    """Return the shares in a box, or nothing where it was not sealed by the dealer for this holder and round."""
    key = keys.derive(channel, b"box", dealer, holder)
    try:
        return ChaCha20Poly1305(key).decrypt(_NONCE, box, None)
    except InvalidTag:
        return b""


def _derived(dealer: int, holder: int, channel: bytes) -> bytes:
    return keys.derive(channel, b"shares", dealer, holder, 2)


def _halves(shares: bytes) -> tuple[bytes, bytes]:
    return shares[: keys.KEY], shares[keys.KEY :]


def field(number: int) -> bytes:
    """Write a number of the field."""
    return number.to_bytes(keys.KEY, "big")


def number(data: bytes) -> int:
    """Read a number of the field; bytes beyond the prime, which chance never brings, wrap."""
    return int.from_bytes(data, "big") % shamir.PRIME
