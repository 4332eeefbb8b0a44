"""The server's side of a secure sum: it forwards, counts who is missing, and learns the sum."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from fedkd.errors import UserError
from fedkd.secure_aggregation import dealing, keys, masks, shamir
from fedkd.secure_aggregation.errors import SumError
from fedkd.secure_aggregation.graph import Ring
from fedkd.secure_aggregation.messages import cut, pack_set

Check = Callable[[int, bytes], str]


class SecureSum:
    """One round's sum; its four verbs take the clients' answers and return the next requests.

    A client whose answer is missing or cannot be read takes no further part; ``faults`` says why.

    Parameters
    ----------
    directory : Directory
        Everybody's public identities, as the clients have them.
    run : str
    round : int
        Which round of which run this is.
    minimum : int
        Members, at least 2, below which there is no sum.
    count : int
        Numbers in every vector.
    bits : int
        From 8 to 64; the sum is taken modulo ``2**bits``.

    Attributes
    ----------
    faults : dict of int to str
        Clients that did not answer as they should, with the first reason.
    """

    def __init__(self, directory: keys.Directory, run: str, round: int, minimum: int, count: int, bits: int) -> None:
        if minimum < 2:
            raise UserError(f"a secure sum has at least 2 members; minimum = {minimum} would show single answers")
        self._total = masks.words(np.zeros(count, np.int64), bits)
        self._directory, self._minimum, self._count, self._bits = directory, minimum, count, bits
        self._context = directory.context(run, round)
        self.faults: dict[int, str] = {}
        self._keys: dict[int, bytes] = {}
        self._neighbours: dict[int, list[int]] = {}
        self._dealt: dict[int, dealing.Dealt] = {}
        self._alive: set[int] = set()

    @property
    def reasons(self) -> dict[str, int]:
        """Number of clients that failed, by reason."""
        return dict(Counter(self.faults.values()))

    def keys(self, replies: Mapping[int, bytes]) -> dict[int, bytes]:
        """Take the signed keys (``Party.advertise``); return what ``Party.share`` needs, by client.

        Raises
        ------
        SumError
            Fewer members than the minimum.
        """
        self._keys = self._sound(replies, set(replies), "advertise", self._check_key)
        cohort = np.array(sorted(self._keys), np.int64)
        self._ring = Ring(self._context, cohort)
        self._neighbours = {place: self._ring.neighbours(place) for place in self._keys}
        flags = pack_set(cohort, len(self._directory))
        return {
            self._directory.clients[place]: flags + b"".join(self._keys[other] for other in others)
            for place, others in self._neighbours.items()
        }

    def shares(self, replies: Mapping[int, bytes]) -> dict[int, bytes]:
        """Take the dealt shares (``Party.share``); return what ``Party.mask`` needs, by client.

        Raises
        ------
        SumError
            Fewer members than the minimum.
        """
        sound = self._sound(replies, self._clients(self._keys), "share", self._check_shares)
        self._dealt = {place: dealing.Dealt.loads(reply, self._ring.shape) for place, reply in sound.items()}
        return {self._directory.clients[place]: self._corrections_for(place) for place in self._dealt}

    def vectors(self, replies: Mapping[int, bytes]) -> dict[int, bytes]:
        """Take the masked vectors (``Party.mask``); return what ``Party.unmask`` needs, by client.

        Raises
        ------
        SumError
            Fewer survivors than the minimum.
        """
        vectors = self._sound(replies, self._clients(self._dealt), "mask", self._check_vector)
        for vector in vectors.values():
            self._total += masks.unpack(vector, self._bits, self._count)
        self._alive = set(vectors)
        flags = pack_set(sorted(self._alive), len(self._directory))
        return {self._directory.clients[place]: flags for place in self._alive}

    def open(self, replies: Mapping[int, bytes]) -> NDArray[np.int64]:
        """Take the shares of the masks (``Party.unmask``); return the sum over the survivors, shape [count].

        The sum is read as signed: the upper half of the range modulo ``2**bits`` is negative.

        Raises
        ------
        SumError
            A mask that too few sound shares are left of; the message names its client.
        """
        given = self._sound(replies, self._clients(self._alive), "unmask", self._check_given)
        pool = self._pool(given)
        for place in sorted(self._dealt):
            if place in self._alive:
                self._open_self_mask(place, pool[place])
            elif self._alive.intersection(self._neighbours[place]):
                self._open_pair_masks(place, pool[place])
        return masks.centred(self._total, self._bits)

    def _clients(self, places: Iterable[int]) -> set[int]:
        return {self._directory.clients[place] for place in places}

    def _sound(self, replies: Mapping[int, bytes], asked: set[int], phase: str, check: Check) -> dict[int, bytes]:
        """Keep the answers, by position, that can be read; note the others."""
        sound: dict[int, bytes] = {}
        for client in sorted(asked | set(replies)):
            reply = replies.get(client)
            place = self._directory.place(client) if client in asked and client in self._directory else None
            if place is None:
                reason = "not asked"
            elif reply is None:
                reason = "no answer"
            else:
                reason = check(place, reply) if isinstance(reply, bytes) else "not bytes"
            if reason or place is None or reply is None:
                self.faults.setdefault(client, f"{phase}: {reason}")
            else:
                sound[place] = reply
        if len(sound) < self._minimum and phase != "unmask":  # there the number of shares decides
            raise SumError(f"{len(sound)} clients answered to {phase}; a sum needs at least {self._minimum}")
        return sound

    def _check_key(self, place: int, reply: bytes) -> str:
        if len(reply) != keys.SIGNED_KEY:
            return "wrong length"
        if not keys.key_is_signed(self._directory, self._context, place, reply):
            return "not signed by its identity for this round"
        return "" if keys.is_usable(reply[: keys.KEY]) else "unusable key"

    def _check_shares(self, place: int, reply: bytes) -> str:
        return "" if len(reply) == dealing.size(self._ring.shape) else "wrong length"

    def _check_vector(self, place: int, reply: bytes) -> str:
        return "" if len(reply) == masks.vector_bytes(self._count, self._bits) else "wrong length"

    def _check_given(self, place: int, reply: bytes) -> str:
        return "" if len(reply) == keys.KEY * len(self._dealers(place)) else "wrong length"

    def _dealers(self, place: int) -> list[int]:
        """Return which of a client's neighbours dealt shares, by number."""
        return [j for j, other in enumerate(self._neighbours[place]) if other in self._dealt]

    def _corrections_for(self, place: int) -> bytes:
        shape, others, dealers = self._ring.shape, self._neighbours[place], self._dealers(place)
        # This client is number k - 1 - j among the neighbours of its neighbour j.
        numbers = {j: shape.neighbours - 1 - j for j in dealers}
        corrected = {j: holder for j, holder in numbers.items() if dealing.is_corrected(holder, shape)}
        sent = [self._dealt[others[j]].corrections[holder - shape.threshold] for j, holder in corrected.items()]
        return pack_set(dealers, shape.neighbours) + b"".join(sent)

    def _pool(self, given: Mapping[int, bytes]) -> dict[int, dict[int, int]]:
        """Return, by the position whose secret it is, the shares: place of the holder to value."""
        pool: dict[int, dict[int, int]] = {place: {} for place in self._keys}
        for place, reply in given.items():
            for j, share in zip(self._dealers(place), cut(reply, keys.KEY), strict=True):
                pool[self._neighbours[place][j]][place] = dealing.number(share)
        return pool

    def _open_self_mask(self, place: int, shares: dict[int, int]) -> None:
        seed = self._secret(place, shares, self._dealt[place].seed_digest)
        masks.add_mask(self._total, dealing.self_mask(place, seed), -1)

    def _open_pair_masks(self, place: int, shares: dict[int, int]) -> None:
        key = self._secret(place, shares, self._dealt[place].key_digest)
        for other, entry in zip(self._neighbours[place], self._dealt[place].table, strict=True):
            if other in self._alive:
                seed = dealing.locked(key, place, other, entry)
                masks.add_mask(self._total, seed, -1 if other < place else 1)

    def _secret(self, place: int, shares: dict[int, int], digest: bytes) -> bytes:
        """Put a secret together from sound shares; a share that does not fit may be its dealer's fault."""
        spots = {other: x for x, other in enumerate(self._neighbours[place], 1)}
        usable = {spots[holder]: value for holder, value in shares.items()}
        found = shamir.recover_checked(
            usable, self._ring.shape.threshold, lambda secret: dealing.digest(place, dealing.field(secret)) == digest
        )
        client = self._directory.clients[place]
        if found is None:
            raise SumError(
                f"the masks of client {client} cannot be taken off: {len(usable)} shares came, "
                f"{self._ring.shape.threshold} sound ones are needed; repeat the round, without it if it fails again"
            )
        for x in found[1]:
            self.faults.setdefault(self._directory.clients[self._neighbours[place][x - 1]], MISFIT)
        return dealing.field(found[0])


MISFIT = "unmask: a share did not fit, by its dealer's fault or its holder's"
