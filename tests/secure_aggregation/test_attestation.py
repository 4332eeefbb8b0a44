from fedkd.secure_aggregation import Directory, Identity
from fedkd.secure_aggregation.attestation import attestation_is_signed, sign_attestation

NODE = 2**64 - 1
IDENTITIES = {client: Identity.generate() for client in (0, 5, 2**64 - 1)}
DIRECTORY = Directory({client: identity.public for client, identity in IDENTITIES.items()})
SIGNED = sign_attestation(IDENTITIES[5], DIRECTORY, NODE, 5)


def test_a_client_says_where_it_is_hosted() -> None:
    assert attestation_is_signed(DIRECTORY, NODE, 5, SIGNED)


def test_what_was_signed_for_something_else_says_nothing() -> None:
    assert not attestation_is_signed(DIRECTORY, NODE - 1, 5, SIGNED)
    assert not attestation_is_signed(DIRECTORY, NODE, 0, SIGNED)
    assert not attestation_is_signed(DIRECTORY, NODE, 6, SIGNED)
    assert not attestation_is_signed(DIRECTORY, NODE, 5, b"")
    assert not attestation_is_signed(DIRECTORY, NODE, 5, sign_attestation(IDENTITIES[0], DIRECTORY, NODE, 5))
    assert not attestation_is_signed(DIRECTORY, NODE, 5, sign_attestation(IDENTITIES[5], DIRECTORY, NODE, 0))
    smaller = Directory({5: IDENTITIES[5].public})
    assert not attestation_is_signed(smaller, NODE, 5, SIGNED)
