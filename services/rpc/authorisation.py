"""Bearer tokens: who may predict, and who may control.

A token file has one token per line, `NAME RIGHTS TOKEN`, and RIGHTS is `inference`, `control` or
`inference,control`; empty lines and lines that begin with # are left out:

    web       inference          Jf7b0Pz…
    deployer  inference,control  0c9aU2k…
"""

import enum
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from core.errors import BakeoffError, DeniedError, InvalidInputError, UnauthenticatedError

HEADER = "authorization"
SCHEME = "bearer "
SHORTEST = 16
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""Characters of a bearer token, RFC 6750."""
OPEN_SERVICES = ("/grpc.health.v1.Health/",)
"""Probes carry no token."""
REFLECTION = "/grpc.reflection."
Metadata = Sequence[tuple[str, str | bytes]]


class Right(enum.Enum):
    """What a token allows."""

    INFERENCE = "inference"
    CONTROL = "control"


@dataclass(frozen=True)
class Token:
    """One line of the file; the secret itself is kept as its SHA-256 only."""

    name: str
    rights: frozenset[Right]
    digest: bytes


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Reads a token file. Raises InvalidInputError naming file and line; the message never shows a token."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"token file {path} cannot be read ({error})") from error
    tokens = tuple(
        _token(line, f"{path} line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    )
    if not tokens:
        raise InvalidInputError(f"token file {path} has no token: add a line NAME RIGHTS TOKEN, or unset it")
    for what, values in (("name", [t.name for t in tokens]), ("token", [t.digest for t in tokens])):
        if len(set(values)) != len(values):
            raise InvalidInputError(f"token file {path}: the same {what} stands in two lines; keep one")
    return tokens


class Authoriser:
    """Decides about calls, whatever transport they come by.

    Args:
        tokens: those that are valid.
        rights: full method (`/package.Service/Method`) to the right it needs; a method that is not named needs control.
    """

    def __init__(self, tokens: Sequence[Token], rights: Mapping[str, Right]) -> None:
        self._tokens, self._rights = tuple(tokens), dict(rights)

    def check(self, method: str, metadata: Metadata) -> None:
        """Returns when the call may go on.

        Raises:
            UnauthenticatedError: no token, or one that is not valid.
            DeniedError: the token does not have the right.
        """
        if method.startswith(OPEN_SERVICES):
            return
        token = self._find(metadata)
        if method.startswith(REFLECTION):
            return
        right = self._rights.get(method, Right.CONTROL)
        if right not in token.rights:
            raise DeniedError(f"token {token.name!r} has no right to {method}: it needs {right.value!r}")

    def _find(self, metadata: Metadata) -> Token:
        given = next((value for key, value in metadata if key.lower() == HEADER), None)
        if given is None:
            raise UnauthenticatedError("this service needs a token: send the metadata authorization: Bearer TOKEN")
        text = given.decode("latin-1") if isinstance(given, bytes) else given
        if not text.lower().startswith(SCHEME):
            raise UnauthenticatedError("authorization is not a bearer token; expected: Bearer TOKEN")
        digest = _digest(text[len(SCHEME) :].strip())
        # Every token is compared, each in constant time: how long it takes tells nothing.
        matches = [token for token in self._tokens if hmac.compare_digest(token.digest, digest)]
        if not matches:
            raise UnauthenticatedError("the token is not one of this service's; check it, or ask who runs the service")
        return matches[0]


class AuthorisationInterceptor(grpc.aio.ServerInterceptor):
    """Asks an authoriser before a call reaches its handler."""

    def __init__(self, authoriser: Authoriser, refuse: Callable[[BakeoffError], grpc.RpcMethodHandler]) -> None:
        self._authoriser, self._refuse = authoriser, refuse

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """As grpc.aio.ServerInterceptor has it."""
        try:
            self._authoriser.check(details.method, details.invocation_metadata or ())
        except BakeoffError as error:
            return self._refuse(error)
        return await continuation(details)


def _token(line: str, where: str) -> Token:
    parts = line.split()
    if len(parts) != 3:
        raise InvalidInputError(f"{where}: expected NAME RIGHTS TOKEN, found {len(parts)} words")
    name, rights, secret = parts
    known = {right.value for right in Right}
    if unknown := sorted(set(rights.split(",")) - known):
        raise InvalidInputError(f"{where}: unknown rights {unknown}; expected inference, control or inference,control")
    if len(secret) < SHORTEST or not TOKEN.fullmatch(secret):
        raise InvalidInputError(
            f"{where}: the token of {name!r} is not usable: at least {SHORTEST} letters, digits or ._~+/=- "
            "(openssl rand -hex 24 makes one)"
        )
    return Token(name, frozenset(map(Right, rights.split(","))), _digest(secret))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("latin-1", "replace")).digest()
