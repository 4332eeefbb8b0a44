"""Secret sharing of a party's two secrets of a round, with which the others can take off its masks.

The *seed* makes the mask of its own, the *key* locks a table with the seeds of its pairwise masks. Neither is drawn by
itself: every neighbour derives a share of both (64 bytes) from the key it has with the dealer, the first ``threshold``
shares fix the secrets, and the other neighbours are sent what they must add to theirs.
"""

from dataclasses import dataclass

from fedkd.secure_aggregation import keys, shamir
from fedkd.secure_aggregation.graph import Shape
from fedkd.secure_aggregation.messages import cut

SHARES = 2 * keys.KEY


@dataclass(frozen=True)
class Dealt:
    """The part of the shared secrets that a dealer gives the server.

    Attributes
    ----------
    seed_digest, key_digest : bytes
        32 bytes each, by which the server knows the right secrets when it sees them.
    table : list of bytes
        By neighbour the locked seed of the pairwise mask, 32 bytes.
    corrections : list of bytes
        By neighbour, from number ``threshold`` on, what it adds to its two derived shares, 64 bytes.
    """

    seed_digest: bytes
    key_digest: bytes
    table: list[bytes]
    corrections: list[bytes]

    def dumps(self) -> bytes:
        """Return the bytes that travel; ``size`` says how many."""
        return b"".join([self.seed_digest, self.key_digest, *self.table, *self.corrections])

    @classmethod
    def loads(cls, data: bytes, shape: Shape) -> "Dealt":
        """Read what ``dumps`` returned; the length must have been checked."""
        fields = cut(data[: keys.KEY * (2 + shape.neighbours)], keys.KEY)
        return cls(fields[0], fields[1], fields[2:], cut(data[keys.KEY * len(fields) :], SHARES))


def size(shape: Shape) -> int:
    """Return the bytes that a dealer sends."""
    return keys.KEY * (2 + shape.neighbours) + SHARES * (shape.neighbours - shape.threshold)


def deal(place: int, neighbours: list[int], channels: list[bytes], shape: Shape) -> tuple[bytes, Dealt]:
    """Return the seed of the self-mask and what goes to the server.

    Parameters
    ----------
    place : int
        The dealer's position.
    neighbours : list of int
        Their positions, in the order of the graph.
    channels : list of bytes
        The keys agreed with them, 32 bytes each.
    shape : Shape
    """
    derived = [_derived(place, other, channel) for other, channel in zip(neighbours, channels, strict=True)]
    (seed, seed_changes), (key, key_changes) = (_shared([one[i] for one in derived], shape) for i in (0, 1))
    masks = [pair_mask(place, other, channel) for other, channel in zip(neighbours, channels, strict=True)]
    table = [locked(key, place, other, one) for other, one in zip(neighbours, masks, strict=True)]
    corrections = [one + other for one, other in zip(seed_changes, key_changes, strict=True)]
    return seed, Dealt(digest(place, seed), digest(place, key), table, corrections)


def _shared(derived: list[int], shape: Shape) -> tuple[bytes, list[bytes]]:
    """Return the secret that derived shares stand for, and what the later ones lack."""
    secret, shares = shamir.deal(derived[: shape.threshold], shape.neighbours)
    lacking = zip(shares, derived[shape.threshold :], strict=True)
    return field(secret), [field((share - own) % shamir.PRIME) for share, own in lacking]


def shares(dealer: int, holder: int, channel: bytes, correction: bytes = bytes(SHARES)) -> bytes:
    """Return a holder's shares of the dealer's seed and key, 32 bytes each."""
    changes = map(number, cut(correction, keys.KEY))
    own = zip(_derived(dealer, holder, channel), changes, strict=True)
    return b"".join(field((one + change) % shamir.PRIME) for one, change in own)


def is_corrected(holder: int, shape: Shape) -> bool:
    """Say whether neighbour number ``holder``, counted from 0, is sent a correction."""
    return holder >= shape.threshold


def _derived(dealer: int, holder: int, channel: bytes) -> tuple[int, int]:
    both = keys.derive(channel, b"fedkd shares", dealer, holder, SHARES)
    return number(both[: keys.KEY]), number(both[keys.KEY :])


def self_mask(place: int, seed: bytes) -> bytes:
    """Return the key of the mask that hides a vector even from those who know all pairwise masks."""
    return keys.derive(seed, b"fedkd self mask", place, place)


def pair_mask(place: int, other: int, channel: bytes) -> bytes:
    """Return the key of the mask that the lower of two positions adds and the higher takes away."""
    return keys.derive(channel, b"fedkd pair mask", min(place, other), max(place, other))


def locked(key: bytes, place: int, other: int, mask: bytes) -> bytes:
    """Lock the key of a pairwise mask in its owner's table, or unlock it: one pad for one entry."""
    pad = keys.derive(key, b"fedkd table", place, other)
    return (int.from_bytes(mask, "big") ^ int.from_bytes(pad, "big")).to_bytes(keys.KEY, "big")


def digest(place: int, secret: bytes) -> bytes:
    """Return the 32 bytes by which the server knows a secret when it sees it."""
    return keys.derive(secret, b"fedkd digest", place, place)


def field(number: int) -> bytes:
    """Write a number of the field."""
    return number.to_bytes(keys.KEY, "big")


def number(data: bytes) -> int:
    """Read a number of the field; bytes beyond the prime, which chance never brings, wrap."""
    return int.from_bytes(data, "big") % shamir.PRIME
