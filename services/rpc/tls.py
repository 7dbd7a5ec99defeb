"""TLS of a server: certificate, key, and the authority of its clients' certificates."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from core.errors import InvalidInputError


@dataclass(frozen=True)
class ServerTls:
    """PEM files of a server. With `client_ca` only clients with a certificate of that authority are let in (mTLS)."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def check(self) -> None:
        """Raises InvalidInputError naming the file that cannot be used, before a port opens."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for path in (self.cert, self.key):
            if not path.is_file():
                raise InvalidInputError(f"TLS file {path} does not exist; expected a PEM file")
        try:
            context.load_cert_chain(self.cert, self.key, password="")
        except (ssl.SSLError, OSError, ValueError) as error:
            raise InvalidInputError(
                f"TLS certificate {self.cert} and key {self.key} cannot be used ({_reason(error)}); "
                "expected PEM files that belong together, the key without a passphrase"
            ) from error
        if self.client_ca is not None:
            check_authority(self.client_ca)

    def credentials(self) -> grpc.ServerCredentials:
        """gRPC's form of them. The files are looked at again with new connections, so renewed ones need no restart."""
        current = self._read()
        return grpc.dynamic_ssl_server_credentials(
            _configuration(current), _Renewal(self, current), require_client_authentication=self.client_ca is not None
        )

    def _read(self) -> tuple[bytes, bytes, bytes | None]:
        authority = self.client_ca.read_bytes() if self.client_ca else None
        return self.key.read_bytes(), self.cert.read_bytes(), authority


class _Renewal:
    """gRPC asks at every handshake; None lets it keep what it has."""

    def __init__(self, tls: ServerTls, current: tuple[bytes, bytes, bytes | None]) -> None:
        self._tls, self._current = tls, current

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            found = self._tls._read()
            if found == self._current:
                return None
            self._tls.check()
        except (OSError, InvalidInputError):
            # In the middle of being replaced: the pair in use is still valid.
            return None
        self._current = found
        return _configuration(found)


def check_authority(path: Path) -> None:
    """Raises InvalidInputError when a file holds no certificate in PEM."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise InvalidInputError(
            f"TLS authority {path} cannot be used ({_reason(error)}); expected certificates in PEM"
        ) from error


def _configuration(files: tuple[bytes, bytes, bytes | None]) -> grpc.ServerCertificateConfiguration:
    key, cert, authority = files
    return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=authority)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "not PEM"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
