"""Keys belong to one client, one round and one purpose."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedkd.errors import UserError
from fedkd.privacy.secure import Directory, Identity, keys


def test_derivation_is_hkdf() -> None:
    secret, context = bytes(range(32)), bytes(range(100, 132))
    info = b"box" + bytes([0, 0, 0, 3, 0, 0, 1, 0])
    for blocks in (1, 2):
        expected = HKDF(hashes.SHA256(), 32 * blocks, context, info).derive(secret)
        assert keys.derive(keys.extract(secret, context), b"box", 3, 256, blocks) == expected


def test_the_context_tells_rounds_runs_and_directories_apart() -> None:
    one, two = (Identity.generate() for _ in range(2))
    directory, other = Directory({1: one.public}), Directory({1: two.public})
    contexts = {directory.context("a", 1), directory.context("a", 2), directory.context("b", 1), other.context("a", 1)}
    assert len(contexts) == 4
    assert Directory({1: one.public}).context("a", 1) in contexts


def test_a_signature_holds_for_one_client_and_round() -> None:
    identities = {client: Identity.generate() for client in (5, 9)}
    directory = Directory({client: one.public for client, one in identities.items()})
    context = directory.context("run", 1)
    signed = keys.sign_keys(identities[5], context, 0, bytes(64))
    assert keys.keys_are_signed(directory, context, 0, signed)
    assert not keys.keys_are_signed(directory, context, 1, signed)
    assert not keys.keys_are_signed(directory, directory.context("run", 2), 0, signed)
    for bit in range(0, 8 * len(signed), 37):
        tampered = bytearray(signed)
        tampered[bit // 8] ^= 1 << bit % 8
        assert not keys.keys_are_signed(directory, context, 0, bytes(tampered))


def test_an_identity_does_not_show_its_secret() -> None:
    identity = Identity.generate()
    assert identity.secret.hex() not in repr(identity)
    assert repr(identity.secret) not in repr(identity)


def test_a_directory_that_cannot_be_is_refused() -> None:
    public = Identity.generate().public
    for publics, match in (({-1: public}, "outside"), ({1: b"short"}, "32 bytes"), ({1: public, 2: public}, "two")):
        with pytest.raises(UserError, match=match):
            Directory(publics)


def test_keys_of_low_order_are_unusable() -> None:
    assert not keys.are_usable([bytes(32)])
    assert keys.are_usable([keys.public_key(bytes(range(32)))])
