"""How this machine's clients protect their calls: the servers' authority, a certificate of their own, a token."""

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pydantic
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import InvalidInputError

Options = Sequence[tuple[str, int]] | Sequence[tuple[str, int | str]]
Metadata = tuple[tuple[str, str], ...]
SYSTEM = "system"


class Security(BaseSettings):
    """From the environment, or given: `Security(tls_ca="ca.pem")`. Every client and command of Bakeoff uses it.

    Raises pydantic.ValidationError for keys it does not know; `from_environment` tells it as a domain error.
    """

    model_config = SettingsConfigDict(
        env_prefix="BAKEOFF_", extra="ignore", frozen=True, env_ignore_empty=True, use_attribute_docstrings=True
    )

    tls_ca: str = ""
    """BAKEOFF_TLS_CA: PEM file of the authority that signed the servers' certificates, or `system`; unset: no TLS."""
    tls_cert: Path | None = None
    """BAKEOFF_TLS_CERT: PEM certificate to show to servers that ask for one (mTLS)."""
    tls_key: Path | None = None
    """BAKEOFF_TLS_KEY: its key."""
    tls_server_name: str = ""
    """BAKEOFF_TLS_SERVER_NAME: name in the servers' certificates where it is not the address that is called."""
    token: pydantic.SecretStr = pydantic.SecretStr("")
    """BAKEOFF_TOKEN: bearer token."""
    insecure: bool = False
    """BAKEOFF_INSECURE: send the token also without TLS beyond loopback, where others can read it."""

    def anonymous(self) -> "Security":
        """The same without what proves who calls: for addresses that others chose."""
        return self.model_copy(update={"token": pydantic.SecretStr(""), "tls_cert": None, "tls_key": None})

    def metadata(self, target: str) -> Metadata:
        """What goes with each call. Raises InvalidInputError for a token that would travel in the open."""
        token = self.token.get_secret_value()
        if not token:
            return ()
        if not (self.tls_ca or self.insecure or _is_loopback(target)):
            raise InvalidInputError(
                f"BAKEOFF_TOKEN would go to {target} without TLS, where others can read it: "
                "set BAKEOFF_TLS_CA, or BAKEOFF_INSECURE=1 to allow it"
            )
        return (("authorization", f"Bearer {token}"),)

    def channel(self, target: str, options: Options = ()) -> grpc.Channel:
        """A channel; TLS when an authority is set. Raises InvalidInputError naming a file that cannot be read."""
        return self._open(grpc, target, options)

    def aio_channel(self, target: str, options: Options = ()) -> grpc.aio.Channel:
        """The same for asyncio."""
        return self._open(grpc.aio, target, options)

    def _open(self, library: Any, target: str, options: Options) -> Any:
        if not self.tls_ca:
            return library.insecure_channel(target, options=options)
        if self.tls_server_name:
            options = [*options, ("grpc.ssl_target_name_override", self.tls_server_name)]
        return library.secure_channel(target, self._credentials(), options=options)

    def _credentials(self) -> grpc.ChannelCredentials:
        authority = None if self.tls_ca == SYSTEM else _read(Path(self.tls_ca), "BAKEOFF_TLS_CA")
        if self.tls_cert is None or self.tls_key is None:
            return grpc.ssl_channel_credentials(authority)
        key, chain = _read(self.tls_key, "BAKEOFF_TLS_KEY"), _read(self.tls_cert, "BAKEOFF_TLS_CERT")
        return grpc.ssl_channel_credentials(authority, key, chain)


def from_environment() -> Security:
    """What the variables say. Raises InvalidInputError naming a wrong one."""
    try:
        return Security()
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        name = f"BAKEOFF_{str(problem['loc'][0]).upper()}"
        raise InvalidInputError(f"{name}: {problem['msg']}") from error


def _read(path: Path, variable: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{variable}={path} cannot be read ({error.strerror}); expected a PEM file") from error


def _is_loopback(target: str) -> bool:
    host = target.removeprefix("ipv4:").removeprefix("ipv6:").rpartition(":")[0].strip("[]")
    if target.startswith("unix:") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
