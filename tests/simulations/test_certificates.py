"""Development certificates name the hosts that they serve."""

from pathlib import Path

import pytest
import typer
from cryptography import x509
from typer.testing import CliRunner

from fedkd.errors import UserError
from simulations.deployment.certificates import main, make_certificates


def named(folder: Path) -> list[str]:
    certificate = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def test_hosts_are_named_beside_this_machine(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(main)
    hosts = ["fed.example.org", "192.0.2.7", "2001:db8::7", "*.example.net", "localhost"]
    words = [str(tmp_path), "--nodes", "1", *(word for host in hosts for word in ("--host", host))]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    assert named(tmp_path) == ["localhost", "127.0.0.1", "::1", *hosts[:4]]
    assert all(host in result.output for host in hosts)


@pytest.mark.parametrize("host", ["", "two words", "fed.example.org:8443", "https://fed", "-x", "exämple.org", "."])
def test_what_names_no_host_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(UserError, match=r"is no name of a host and no IP address"):
        make_certificates(tmp_path / "keys", 1, [host])
    assert not (tmp_path / "keys").exists()


def test_private_files_are_their_owners_alone(tmp_path: Path) -> None:
    make_certificates(tmp_path, 1)
    private = {path.name for path in tmp_path.iterdir() if path.stat().st_mode & 0o077 == 0}
    assert private == {"server.key", "node-0"}
