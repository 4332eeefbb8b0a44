"""The client's side of a secure sum: four answers, each given once, none that could expose the client."""

import secrets

import numpy as np
from numpy.typing import NDArray

from fedkd.errors import UserError
from fedkd.messages.serialisation import MalformedError
from fedkd.secure_aggregation import dealing, keys, masks, state
from fedkd.secure_aggregation.errors import RefusedError
from fedkd.secure_aggregation.graph import Ring, Shape, shape
from fedkd.secure_aggregation.messages import Flags, cut, listed, set_bytes, unpack_set


class Party:
    """One client.

    Save ``dumps()`` before an answer is sent: a party that forgets what it answered could be asked twice.

    Parameters
    ----------
    identity : Identity
        The client's own.
    client : int
        Its number in the directory.
    directory : Directory
        Everybody's public identities.
    minimum : int
        Members, at least 2, below which the client takes no part.

    Raises
    ------
    UserError
        The identity is not the directory's, or a minimum below 2.
    """

    def __init__(self, identity: keys.Identity, client: int, directory: keys.Directory, minimum: int) -> None:
        if client not in directory or directory.public(directory.place(client)) != identity.public:
            raise UserError(f"client {client} does not stand in the directory of identities with its own key")
        if minimum < 2:
            raise UserError(f"a secure sum has at least 2 members; minimum = {minimum} would show single answers")
        self._identity, self._directory, self._minimum = identity, directory, minimum
        self._place = directory.place(client)
        self._rounds: dict[str, int] = {}
        self._state: state.RoundState | None = None

    def dumps(self) -> bytes:
        """Return all that the party remembers. It holds secrets: only the client may read it."""
        return state.to_bytes(self._rounds, self._state)

    def loads(self, data: bytes) -> None:
        """Go on from what ``dumps`` returned, perhaps in another process."""
        self._rounds, self._state = state.from_bytes(data)

    def check_round(self, run: str, round: int) -> None:
        """Refuse what is said of another round than the one that goes on."""
        if self._state is None or (self._state.run, self._state.round) != (run, round):
            raise RefusedError(f"round {round} of run {run!r} is not the one that goes on here")

    def advertise(self, run: str, round: int) -> bytes:
        """Begin a round: return this round's public key, signed.

        Raises
        ------
        RefusedError
            An older round than one already begun in this run.
        """
        newest = self._rounds.get(run, -1)
        now = self._state
        if now is None or (now.run, now.round) != (run, round):
            if round <= newest:
                raise RefusedError(f"round {round} of run {run!r} is over: round {newest} has begun")
            now = state.RoundState(run, round, secrets.token_bytes(keys.KEY))
            self._state, self._rounds[run] = now, round
        now.check_open()
        public = keys.public_key(now.secret)
        return keys.sign_key(self._identity, self._directory.context(run, round), self._place, public)

    def share(self, bundle: bytes) -> bytes:
        """Check the cohort and the neighbours' signed keys; deal shares of this round's two secrets.

        Raises
        ------
        RefusedError
            Too small a cohort, keys that their owner did not sign for this round, or a second, different request.
        """
        now, context = self._now("share")
        size = set_bytes(len(self._directory))
        members = np.flatnonzero(_set(bundle[:size], len(self._directory)))
        if len(members) < self._minimum or self._place not in members:
            raise RefusedError(
                f"a cohort of {len(members)} that must hold this client and at least {self._minimum - 1} others"
            )
        neighbours = Ring(context, members).neighbours(self._place)
        publics = self._checked_keys(context, neighbours, bundle[size:])
        channels = _agree(now.secret, keys.of_cohort(context, bundle[:size]), publics)
        now.once("share", bundle)
        now.cohort, now.neighbours, now.channels = bundle[:size], neighbours, channels
        now.seed, dealt = dealing.deal(self._place, neighbours, channels, shape(len(members)))
        return dealt.dumps()

    def _checked_keys(self, context: bytes, neighbours: list[int], data: bytes) -> list[bytes]:
        if len(data) != keys.SIGNED_KEY * len(neighbours):
            raise RefusedError("the keys that came are not those of the neighbours that the public graph says")
        signed = cut(data, keys.SIGNED_KEY)
        for place, one in zip(neighbours, signed, strict=True):
            if not keys.key_is_signed(self._directory, context, place, one):
                client = self._directory.clients[place]
                raise RefusedError(f"the key given as client {client}'s is not signed by its identity for this round")
        return [one[: keys.KEY] for one in signed]

    def mask(self, bundle: bytes, vector: NDArray[np.integer], bits: int) -> bytes:
        """Take in the shares that the neighbours dealt; return the vector under all masks.

        Parameters
        ----------
        bundle : bytes
            From the server.
        vector : ndarray of whole numbers, shape [count]
            What is to be summed modulo ``2**bits``.
        bits : int
            From 8 to 64.

        Raises
        ------
        RefusedError
            Too few neighbours dealt shares, or a second, different request or vector.
        """
        now, _ = self._now("mask")
        total = masks.words(vector, bits)
        size = set_bytes(len(now.neighbours))
        shared = _set(bundle[:size], len(now.neighbours))
        received = self._received(now, shared, bundle[size:])
        now.once("mask", bundle, total.tobytes(), bytes([bits]))
        now.shared, now.received = bundle[:size], received
        masks.add_mask(total, dealing.self_mask(self._place, now.seed), 1)
        for j in listed(shared):
            other = now.neighbours[j]
            seed = dealing.pair_mask(self._place, other, now.channels[j])
            masks.add_mask(total, seed, 1 if self._place < other else -1)
        return masks.pack(total, bits)

    def has_members(self, clients: bytes) -> bool:
        """Say whether the cohort of the round that goes on holds all of a set of directory positions."""
        now, _ = self._now("mask")
        size = len(self._directory)
        return not (_set(clients, size) & ~_set(now.cohort, size)).any()

    def _received(self, now: state.RoundState, shared: Flags, data: bytes) -> list[bytes]:
        """Return this party's shares of what every neighbour dealt."""
        form = self._shape(now)
        if shared.sum() < form.threshold:
            raise RefusedError(f"only {shared.sum()} neighbours dealt shares; at least {form.threshold} must")
        # This party is number k - 1 - j among the neighbours of its neighbour j.
        corrected = [j for j in listed(shared) if dealing.is_corrected(form.neighbours - 1 - j, form)]
        if len(data) != dealing.SHARES * len(corrected):
            raise RefusedError(f"shares of {len(corrected)} neighbours expected, {len(data)} bytes came")
        corrections = dict(zip(corrected, cut(data, dealing.SHARES), strict=True))
        received = [b""] * form.neighbours
        for j in listed(shared):
            sent = [corrections[j]] if j in corrections else []
            received[j] = dealing.shares(now.neighbours[j], self._place, now.channels[j], *sent)
        return received

    def unmask(self, survivors: bytes) -> bytes:
        """Return, of every neighbour that dealt, one of its two shares: of the seed if it survives, else of the key.

        Parameters
        ----------
        survivors : bytes
            Those whose masked vectors are summed, as a set of directory positions.

        Raises
        ------
        RefusedError
            Too few survivors, ones that cannot be, so many gone in a row that the sum would fall apart, or a second,
            different set of survivors.
        """
        now, context = self._now("unmask")
        alive = self._checked_survivors(now, context, survivors)
        is_first = "unmask" not in now.asked
        now.once("unmask", survivors)
        if is_first:
            halves = (slice(keys.KEY) if here else slice(keys.KEY, None) for here in alive)
            now.forget([both[half] for both, half in zip(now.received, halves, strict=True)])
        return b"".join(now.received)

    def _checked_survivors(self, now: state.RoundState, context: bytes, survivors: bytes) -> Flags:
        """Return which neighbours are summed."""
        said = _set(survivors, len(self._directory))
        alive, shared = said[now.neighbours], _set(now.shared, len(now.neighbours))
        threshold = self._shape(now).threshold
        if (said & ~_set(now.cohort, len(said))).any() or (alive & ~shared).any() or not said[self._place]:
            raise RefusedError("the survivors hold a client that takes no part in this round, or lack this one")
        if said.sum() < self._minimum:
            raise RefusedError(f"only {said.sum()} clients would be summed; at least {self._minimum} must be")
        if alive.sum() < threshold:
            raise RefusedError(f"only {alive.sum()} neighbours would be summed; at least {threshold} must be")
        if Ring(context, self._members(now)).is_cut(said):
            raise RefusedError("so many neighbours in a row would be left out that the sum could be taken in parts")
        return alive

    def _shape(self, now: state.RoundState) -> Shape:
        return shape(len(self._members(now)))

    def _members(self, now: state.RoundState) -> NDArray[np.int64]:
        return np.flatnonzero(_set(now.cohort, len(self._directory)))

    def _now(self, phase: str) -> tuple[state.RoundState, bytes]:
        if self._state is None:
            raise RefusedError("no round has begun: ask to advertise first")
        self._state.check_turn(phase)
        return self._state, self._directory.context(self._state.run, self._state.round)


def _agree(secret: bytes, context: bytes, publics: list[bytes]) -> list[bytes]:
    try:
        return keys.agree(secret, context, publics)
    except ValueError:
        raise RefusedError("a neighbour signed a key with which anyone could know the masks") from None


def _set(data: bytes, size: int) -> Flags:
    try:
        return unpack_set(data, size)
    except MalformedError as error:
        raise RefusedError(f"a request cannot be read: {error}") from None
