"""Keys belong to one client, one round and one purpose."""

import hashlib

import pytest

from fedkd.errors import UserError
from fedkd.secure_aggregation import Directory, Identity, keys


def test_agreed_keys_are_the_same_on_both_sides_and_differ_by_round_pair_purpose_and_order() -> None:
    secrets = [bytes([number]) * 32 for number in range(1, 4)]
    publics = [keys.public_key(secret) for secret in secrets]
    one, other = bytes(range(32)), bytes(range(1, 33))
    assert keys.agree(secrets[0], one, publics[1:2]) == keys.agree(secrets[1], one, publics[:1])
    agreed = [*keys.agree(secrets[0], one, publics[1:]), *keys.agree(secrets[0], other, publics[1:])]
    uses = [(b"a", 3, 256), (b"a", 256, 3), (b"b", 3, 256)]
    derived = {keys.derive(key, *use) for key in agreed for use in uses}
    assert len({*derived, *agreed}) == 4 * 3 + 4
    assert {len(one) for one in derived} == {32}


def test_derivation_is_keyed_blake2b() -> None:
    """The first line is a published vector: the key 00..3f, no input."""
    key = bytes(range(64))
    assert hashlib.blake2b(b"", key=key).hexdigest().startswith("10ebb67700b1868efb4417987acf4690")
    expected = hashlib.blake2b(bytes([0, 0, 0, 3, 0, 0, 1, 0]), key=key[:32], person=b"box", digest_size=64).digest()
    assert keys.derive(key[:32], b"box", 3, 256, 64) == expected


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
    signed = keys.sign_key(identities[5], context, 0, bytes(32))
    assert keys.key_is_signed(directory, context, 0, signed)
    assert not keys.key_is_signed(directory, context, 1, signed)
    assert not keys.key_is_signed(directory, directory.context("run", 2), 0, signed)
    for bit in range(0, 8 * len(signed), 37):
        tampered = bytearray(signed)
        tampered[bit // 8] ^= 1 << bit % 8
        assert not keys.key_is_signed(directory, context, 0, bytes(tampered))


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
    assert not keys.is_usable(bytes(32))
    assert keys.is_usable(keys.public_key(bytes(range(32))))
