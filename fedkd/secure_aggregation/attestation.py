"""That a node is where a client lives: said by the client's identity, and of no use to any other node."""

import struct

from fedkd.secure_aggregation import Directory, Identity


def sign_claim(identity: Identity, directory: Directory, node: int, client: int) -> bytes:
    """Return the identity's signature that its client is hosted by a node, among the clients of a directory."""
    return identity.sign(_statement(directory, node, client))


def claim_is_signed(directory: Directory, node: int, client: int, signature: bytes) -> bool:
    """Say whether a client signed that this very node hosts it."""
    if client not in directory:
        return False
    return directory.verifies(directory.place(client), signature, _statement(directory, node, client))


def _statement(directory: Directory, node: int, client: int) -> bytes:
    return b"fedkd host" + directory.digest + struct.pack(">QQ", node, client)
