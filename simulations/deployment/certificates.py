"""Development certificates and node keys: ``python -m simulations.deployment.certificates DIR --nodes N``."""

import datetime
import ipaddress
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedkd.atomic_file import replace_file
from fedkd.cli.terminal import guarded, start

DAYS = 30


def make_certificates(folder: Path, nodes: int) -> None:
    """Write a certificate authority, a server certificate for localhost, and one key pair per node.

    For development only: anyone who can read the folder can act as server or node. Files: ``ca.crt``, ``server.pem``,
    ``server.key``, ``node-N`` (OpenSSH private key) and ``node-N.pub``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key)
    server = _server(server_key, authority, authority_key)
    (folder / "ca.crt").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    (folder / "server.pem").write_bytes(server.public_bytes(serialization.Encoding.PEM))
    replace_file(folder / "server.key", _private(server_key, serialization.PrivateFormat.TraditionalOpenSSL), 0o600)
    for node in range(nodes):
        key = ec.generate_private_key(ec.SECP384R1())
        replace_file(folder / f"node-{node}", _private(key, serialization.PrivateFormat.OpenSSH), 0o600)
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        (folder / f"node-{node}.pub").write_bytes(public + b"\n")


def _private(key: ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _builder(subject: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    builder = _builder("fedkd development CA", _name("fedkd development CA"), key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return builder.sign(key, hashes.SHA256())


def _server(
    key: ec.EllipticCurvePrivateKey, authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = _builder("localhost", authority.subject, key)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    return builder.add_extension(issuer, critical=False).sign(authority_key, hashes.SHA256())


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


@guarded
def main(
    folder: Annotated[Path, typer.Argument(help="Where the files go.")],
    nodes: Annotated[int, typer.Option(help="How many node key pairs.", min=1)] = 2,
) -> None:
    """Make development certificates and node keys."""
    make_certificates(folder, nodes)
    print(f"wrote a CA, a server certificate and {nodes} node keys, valid for {DAYS} days, to {folder}")


if __name__ == "__main__":
    start(main)
