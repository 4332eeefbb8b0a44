"""Node attestation: a client's identity signs that one node, and no other, hosts the client."""

import struct

from fedkd.secure_aggregation import Directory, Identity


def sign_attestation(identity: Identity, directory: Directory, node: int, client: int) -> bytes:
    """Return the identity's signature that its client is hosted by a node, among the clients of a directory."""
    return identity.sign(_statement(directory, node, client))


def attestation_is_signed(directory: Directory, node: int, client: int, signature: bytes) -> bool:
    """Say whether a client signed that this very node hosts it."""
    if client not in directory:
        return False
    return directory.verifies(directory.place(client), signature, _statement(directory, node, client))


def _statement(directory: Directory, node: int, client: int) -> bytes:
    return b"fedkd host" + directory.digest + struct.pack(">QQ", node, client)
