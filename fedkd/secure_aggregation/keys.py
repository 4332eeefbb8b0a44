"""Long-lived identities, keys that live for one round, and secrets that two clients share.

Every key derived here is bound to the run, the round, the directory of identities and the clients it is for,
so nothing from elsewhere fits.
"""

import hashlib
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from nacl.bindings import crypto_sign_open  # verifies in half the time that cryptography takes
from nacl.exceptions import BadSignatureError

from fedkd.errors import UserError

KEY = 32
SIGNATURE = 64
SIGNED_KEY = KEY + SIGNATURE


@dataclass(frozen=True)
class Identity:
    """A client's long-lived Ed25519 signing key.

    Parameters
    ----------
    secret : bytes
        32 secret bytes; they never leave the client.
    """

    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> "Identity":
        """Draw a new identity from the operating system's randomness."""
        return cls(secrets.token_bytes(KEY))

    @property
    def public(self) -> bytes:
        """The 32 bytes that everyone may know."""
        return self._key.public_key().public_bytes_raw()

    @cached_property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.secret)

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of a signature."""
        return self._key.sign(message)


class Directory:
    """The public identities of all clients, known to everyone before the run and the same for everyone.

    Parameters
    ----------
    publics : mapping of int to bytes
        Client number, at least 0 and below 2**64, to the 32 public bytes of its identity.

    Raises
    ------
    UserError
        A client number or key that cannot be, or one identity under two numbers.
    """

    def __init__(self, publics: Mapping[int, bytes]) -> None:
        self.clients = tuple(sorted(publics))
        self._publics = [publics[client] for client in self.clients]
        self._check()
        self._places = {client: place for place, client in enumerate(self.clients)}
        rows = (struct.pack(">Q", client) + key for client, key in zip(self.clients, self._publics, strict=True))
        self.digest = hashlib.sha256(b"fedkd directory" + b"".join(rows)).digest()

    def _check(self) -> None:
        if any(not 0 <= client < 1 << 64 for client in self.clients):
            raise UserError("the directory of identities holds a client number outside 0 to 2**64 - 1")
        if any(len(key) != KEY for key in self._publics):
            raise UserError(f"the directory of identities holds a key that does not take {KEY} bytes")
        if len(set(self._publics)) < len(self._publics):
            raise UserError("the directory of identities holds one identity under two client numbers")

    def __len__(self) -> int:
        return len(self.clients)

    def __contains__(self, client: int) -> bool:
        return client in self._places

    def place(self, client: int) -> int:
        """Return a client's position among the sorted client numbers."""
        return self._places[client]

    def public(self, place: int) -> bytes:
        """Return the identity of the client at a position."""
        return self._publics[place]

    def verifies(self, place: int, signature: bytes, message: bytes) -> bool:
        """Say whether the client at a position signed a message."""
        return is_signed(self._publics[place], signature, message)

    def context(self, run: str, round: int) -> bytes:
        """Return the 32 bytes that stand for one round of one run among these clients."""
        return hashlib.sha256(b"fedkd secure sum 1" + self.digest + struct.pack(">Q", round) + run.encode()).digest()


def is_signed(public: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether the owner of an identity signed a message."""
    if len(signature) != SIGNATURE:
        return False
    try:
        crypto_sign_open(signature + message, public)
    except (BadSignatureError, ValueError):
        return False
    return True


def of_cohort(context: bytes, cohort: bytes) -> bytes:
    """Return the 32 bytes that stand for one cohort of a round: who is shown another one agrees on other keys."""
    return hashlib.sha256(b"fedkd cohort" + context + cohort).digest()


def sign_key(identity: Identity, context: bytes, place: int, key: bytes) -> bytes:
    """Return the public key of a round (32 bytes) followed by the identity's signature."""
    return key + identity.sign(_statement(context, place, key))


def key_is_signed(directory: Directory, context: bytes, place: int, signed: bytes) -> bool:
    """Say whether the client at ``place`` signed this key for this round."""
    key, signature = signed[:KEY], signed[KEY:]
    return directory.verifies(place, signature, _statement(context, place, key))


def _statement(context: bytes, place: int, key: bytes) -> bytes:
    return b"fedkd key" + context + struct.pack(">I", place) + key


def public_key(secret: bytes) -> bytes:
    """Return the X25519 public key of 32 secret bytes."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def agree(secret: bytes, context: bytes, publics: list[bytes]) -> list[bytes]:
    """Return a key of 32 bytes with the owner of each public key, out of their X25519 secret and a context.

    Raises
    ------
    ValueError
        A public key of low order, with which every secret would be zero.
    """
    mine = X25519PrivateKey.from_private_bytes(secret)
    agreed = (mine.exchange(X25519PublicKey.from_public_bytes(public)) for public in publics)
    return [hashlib.blake2b(one, key=context, person=b"fedkd agree", digest_size=KEY).digest() for one in agreed]


def derive(key: bytes, purpose: bytes, one: int, other: int, size: int = KEY) -> bytes:
    """Return ``size`` (at most 64) secret bytes for one purpose between two positions, in order.

    BLAKE2b with a key (RFC 7693) is a pseudorandom function; the purpose, at most 16 bytes, is its personalisation.
    """
    return hashlib.blake2b(struct.pack(">II", one, other), key=key, person=purpose, digest_size=size).digest()


def is_usable(public: bytes) -> bool:
    """Say whether anybody can agree on secrets with the owner of an X25519 key."""
    try:
        agree(bytes(range(KEY)), b"", [public])
    except ValueError:
        return False
    return True
