"""Why a server does not answer, told from what is met at its address."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fedkd.errors import UserError
from fedkd.runs.processes import free_port
from fedkd.runs.reach import Address
from simulations.deployment.certificates import make_certificates


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("own", "foreign"):
        make_certificates(folder / name, 0)
    return folder


@contextmanager
def serving(keys: Path | None, answer: bytes = b"HTTP/1.0 404\r\n\r\n") -> Iterator[Address]:
    """Answer at a port of this machine, with TLS where there are keys."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wrapped: Callable[[socket.socket], socket.socket] = lambda one: one  # noqa: E731
        if keys is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(keys / "server.pem", keys / "server.key")
            wrapped = lambda one: context.wrap_socket(one, server_side=True)  # noqa: E731

        def serve() -> None:
            with suppress(OSError):
                while True:
                    one, _ = listener.accept()
                    with suppress(OSError), wrapped(one) as secured:
                        secured.recv(100)
                        secured.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield Address("127.0.0.1", listener.getsockname()[1])


def test_a_server_that_answers_is_no_trouble(keys: Path) -> None:
    with serving(keys / "own") as address:
        assert address.trouble(keys / "own" / "ca.crt") == ""
        assert Address("localhost", address.port).trouble(keys / "own" / "ca.crt") == ""
    with serving(None) as address:
        assert address.trouble(None) == ""


def test_a_certificate_that_names_other_hosts_is_told_with_the_command_that_mends_it(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(host: str, *rest: object, ask: object = socket.getaddrinfo) -> object:
        return ask("127.0.0.1", *rest)  # type: ignore[operator]

    monkeypatch.setattr(socket, "getaddrinfo", elsewhere)
    with serving(keys / "own") as here:
        told = Address("fed.example.org", here.port).trouble(keys / "own" / "ca.crt")
    assert "names localhost, 127.0.0.1, ::1, and not fed.example.org" in told
    assert told.endswith("python -m simulations.deployment.certificates DIR --host fed.example.org")
    make_certificates(tmp_path, 0, ["fed.example.org"])
    with serving(tmp_path) as here:
        assert Address("fed.example.org", here.port).trouble(tmp_path / "ca.crt") == ""


def test_other_troubles_have_their_own_sentences(keys: Path) -> None:
    authority = keys / "own" / "ca.crt"
    with serving(keys / "foreign") as address:
        assert f"does not come from {authority}" in address.trouble(authority)
        assert "wants TLS" in address.trouble(None) or "reset" in address.trouble(None)
    with serving(None) as address:
        assert "does not speak TLS" in address.trouble(authority)
    nowhere = Address("127.0.0.1", free_port())
    for one in (authority, None):
        assert f"nothing answers at {nowhere}" in nowhere.trouble(one)
    assert "nobody knows the name no-such-host.invalid" in Address("no-such-host.invalid", 8443).trouble(None)
    with serving(keys / "own") as address, pytest.raises(UserError, match="certificate of an authority"):
        address.trouble(keys / "own" / "server.key")


def test_silence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> socket.socket:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    assert "within 5 s" in Address("192.0.2.7", 8443).trouble(None)


@pytest.mark.parametrize(
    ("text", "host", "shown"),
    [("fed.example.org:8443", "fed.example.org", None), ("[2001:db8::7]:8443", "2001:db8::7", None)],
)
def test_addresses_are_read_and_written(text: str, host: str, shown: str | None) -> None:
    assert Address.parse(text, "--address") == Address(host, 8443)
    assert str(Address.parse(text, "--address")) == shown or text


@pytest.mark.parametrize("text", ["", "8443", "host", "host:", ":8443", "host:0", "host:65536", "host:http", "host:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"--superlink .* is not host:port"):
        Address.parse(text, "--superlink")


def test_a_server_on_all_addresses_reaches_itself_by_loopback() -> None:
    assert Address("0.0.0.0", 1).own == Address("127.0.0.1", 1)
    assert Address("::", 1).own == Address("::1", 1)
    assert Address("192.0.2.7", 1).own == Address("192.0.2.7", 1)


def test_only_a_free_port_of_this_machine_can_be_listened_on() -> None:
    with serving(None) as address:
        assert not address.is_free()
    assert Address("0.0.0.0", free_port()).is_free()
    with pytest.raises(UserError, match=r"no such address; 0\.0\.0\.0:8443 means all"):
        Address("192.0.2.7", 8443).is_free()
