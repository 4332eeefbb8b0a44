"""Signing keys and directories of public ones, as files."""

import json
from pathlib import Path

from fedkd.atomic_file import replace_file
from fedkd.errors import UserError
from fedkd.secure_aggregation import Directory, Identity
from fedkd.secure_aggregation.attestation import sign_attestation

KEY, PUBLIC, DIRECTORY = "identity.key", "identity.pub", "directory.json"


def write_identity(folder: Path, identity: Identity) -> None:
    """Write a client's signing key so that only its owner can read it."""
    replace_file(folder / KEY, identity.secret.hex().encode() + b"\n", 0o600)


def read_identity(folder: Path) -> Identity | None:
    """Return a client's signing key, or None where it has none."""
    path = folder / KEY
    if not path.exists():
        return None
    try:
        identity = Identity(bytes.fromhex(path.read_text(encoding="ascii")))
        assert identity.public
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no identity ({error}); it must hold 64 hexadecimal digits") from None
    return identity


def signed_attestation(folder: Path, node: int, client: int) -> bytes:
    """Return a client's signature that it is hosted by a node.

    Raises
    ------
    UserError
        The folder holds no signing key or no directory.
    """
    identity = read_identity(folder)
    if identity is None:
        raise UserError(
            f"{folder} holds no {KEY}, so nobody would believe that client {client} is here; make one with python -m "
            "simulations.deployment.prepare"
        )
    return sign_attestation(identity, read_directory(folder), node, client)


def write_directory(folder: Path, directory: Directory) -> None:
    """Write everyone's public keys: client numbers to 64 hexadecimal digits."""
    publics = {client: directory.public(directory.place(client)).hex() for client in directory.clients}
    replace_file(folder / DIRECTORY, json.dumps(publics, indent=0).encode() + b"\n")


def read_directory(folder: Path) -> Directory:
    """Read what ``write_directory`` wrote.

    Raises
    ------
    UserError
        There is none, or it does not hold public keys.
    """
    path = folder / DIRECTORY
    try:
        text = json.loads(path.read_text(encoding="ascii"))
        return Directory({int(client): bytes.fromhex(public) for client, public in text.items()})
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UserError(
            f"{path} is no directory of public keys ({error}), so nothing can be masked; make one with python -m "
            "simulations.deployment.prepare, or let the server see single answers with --set privacy.sums=clear"
        ) from None
