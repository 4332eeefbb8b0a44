"""Addresses of servers, and why one cannot be reached."""

import errno
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from fedkd.errors import UserError

ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""The addresses that mean all of a machine's own, and the one at which the machine reaches itself."""

PATIENCE = 5.0
"""Seconds to wait for an answer."""

MISNAMED, UNKNOWN_ISSUERS, EXPIRED = (62, 64), (2, 18, 19, 20, 21), (9, 10)
"""Codes of OpenSSL's ``X509_V_ERR``."""


@dataclass(frozen=True)
class Address:
    """The address of a server.

    Attributes
    ----------
    host : str
        Name or IP address.
    port : int
        From 1 to 65535.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, option: str) -> "Address":
        """Read ``host:port`` or ``[IPv6]:port``; a ``UserError`` names the option that holds anything else."""
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise UserError(f"{option} {text} is not host:port; for example 192.0.2.7:8443, or [2001:db8::7]:8443")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def own(self) -> "Address":
        """The address at which a server that listens here reaches itself."""
        return Address(ANY.get(self.host, self.host), self.port)

    def is_free(self) -> bool:
        """Return whether a server may listen here; a ``UserError`` where this machine has no such address."""
        try:
            with socket.create_server((self.host, self.port), family=_family(self.host)):
                return True
        except PermissionError:
            raise UserError(f"--address {self}: ports below 1024 are not yours to use; take one above") from None
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise UserError(
                    f"--address {self}: this machine has no such address; 0.0.0.0:{self.port} means all it has"
                ) from None
            return False

    def trouble(self, authority: Path | None) -> str:
        """Return why the server does not answer here, and what mends it; empty where it does.

        Parameters
        ----------
        authority : Path, optional
            Certificate of the authority that the server's own must come from; without it there is no TLS.
        """
        try:
            with socket.create_connection((self.host, self.port), PATIENCE) as bare:
                if authority is None:
                    return "" if _answers(bare) else f"what answers at {self} wants TLS; give --certificates DIR"
                with _context(authority).wrap_socket(bare, server_hostname=self.host):
                    return ""
        except ssl.SSLCertVerificationError as error:
            return self._mistrusted(error, authority)
        except ssl.SSLError:
            return f"what answers at {self} does not speak TLS; where a server has --insecure, clients need it too"
        except socket.gaierror as error:
            return f"nobody knows the name {self.host} ({error.strerror})"
        except TimeoutError:
            return f"nothing answers at {self} within {PATIENCE:.0f} s; see whether a firewall is between"
        except OSError as error:
            return f"nothing answers at {self} ({error.strerror or error}); see whether the server runs there"

    def _mistrusted(self, error: ssl.SSLCertVerificationError, authority: Path | None) -> str:
        code = error.verify_code
        if code in MISNAMED:
            return (
                f"the certificate of the server at {self} names {', '.join(self._named()) or 'no host'}, and not "
                f"{self.host}; use a name that it has, or make one that names this: python -m "
                f"simulations.deployment.certificates DIR --host {self.host}"
            )
        if code in UNKNOWN_ISSUERS:
            return f"the certificate of the server at {self} does not come from {authority}; get its own ca.crt"
        if code in EXPIRED:
            return f"the certificate of the server at {self} is not valid today; it must be renewed"
        return f"the certificate of the server at {self} is refused ({error.verify_message})"

    def _named(self) -> list[str]:
        """Return the hosts that the server's certificate names, without trusting it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((self.host, self.port), PATIENCE) as bare,
            context.wrap_socket(bare) as secured,
        ):
            certificate = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return []
        return [str(name.value) for name in names]


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _context(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(authority)
        return context
    except (OSError, ssl.SSLError):
        raise UserError(f"{authority} cannot be read as the certificate of an authority") from None


def _answers(connection: socket.socket) -> bool:
    """Return whether a server answers without TLS."""
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    return connection.recv(5) == b"HTTP/"
