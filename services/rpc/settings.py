"""Settings of a service: one frozen class each, from the command line, the environment, or its defaults."""

import ipaddress
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias, TypeVar

import pydantic
from pydantic_settings import (
    BaseSettings,
    CliApp,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from core.errors import BakeoffError
from core.schemas.base import problems_of
from services.rpc.authorisation import Token, read_tokens
from services.rpc.tls import ServerTls

SettingsT = TypeVar("SettingsT", bound="ServiceSettings")
Source: TypeAlias = PydanticBaseSettingsSource
SHARED_PREFIX = "BAKEOFF_"
SHARED = ("insecure", "allow_anonymous", "tls_cert", "tls_key", "tls_client_ca", "tokens")
"""Settings that one variable may give to all services of a machine: BAKEOFF_INSECURE, BAKEOFF_TLS_CERT, …"""


class SharedVariables(EnvSettingsSource):
    """The variables that all services share, for the settings in SHARED only."""

    def __call__(self) -> dict[str, Any]:
        """What is set."""
        return {name: value for name, value in super().__call__().items() if name in SHARED}


class ServiceSettings(BaseSettings):
    """What every service can be told."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
    )

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = pydantic.Field(0, ge=0, le=65535)
    """gRPC port; 0 takes any free one."""
    address_file: Path | None = None
    """File that receives `host:port` once the service answers."""
    metrics_port: int | None = pydantic.Field(None, ge=0, le=65535)
    """Port of the Prometheus endpoint, 0 for any free one; unset switches it off."""
    log_level: str = pydantic.Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """Least severe level that is logged: DEBUG, INFO, WARNING or ERROR."""
    log_format: Literal["text", "json"] = "text"
    """text: lines for people; json: an object per line, with the request's id and model where it is about one."""
    max_message_bytes: int = pydantic.Field(64 << 20, ge=1 << 16)
    """Largest gRPC message, in and out, in bytes."""
    drain_s: float = pydantic.Field(10.0, ge=0)
    """Seconds that calls in flight get after SIGTERM."""
    compression: Literal["none", "deflate", "gzip"] = "none"
    """Compression of responses: less on the wire for more CPU. Behind Envoy only clients that accept it get it; grpcio
    compresses for everybody, and calls of clients that cannot read it fail."""
    keepalive_s: float | None = pydantic.Field(None, gt=0)
    """Seconds without traffic after which a client is probed, and the interval at which it may probe."""
    max_connection_age_s: float | None = pydantic.Field(None, gt=0)
    """Seconds after which a connection is renewed, so that clients find new replicas; calls in flight finish."""
    tls_cert: Path | None = None
    """PEM certificate, with its chain, that the service shows; needs a key. Renewed files are taken up."""
    tls_key: Path | None = None
    """PEM key of the certificate, without a passphrase."""
    tls_client_ca: Path | None = None
    """PEM authority: only clients with one of its certificates are let in (mTLS)."""
    tokens: Path | None = None
    """File of bearer tokens, a line NAME RIGHTS TOKEN each, rights: inference, control or both; unset: no tokens."""
    insecure: bool = False
    """Allow listening beyond loopback without TLS, where others can read what is sent. It waives nothing else."""
    allow_anonymous: bool = False
    """Allow listening beyond loopback where nobody has to say who calls. Tokens that are given are asked for all the
    same."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: Source,
        env_settings: Source,
        *others: Source,
        **more: Source,
    ) -> tuple[Source, ...]:
        """Behind a service's own variables come those that all services share: BAKEOFF_TLS_CERT and its siblings."""
        return (
            init_settings,
            env_settings,
            SharedVariables(settings_cls, env_prefix=SHARED_PREFIX, env_ignore_empty=True),
        )

    @pydantic.model_validator(mode="after")
    def _protected(self) -> "ServiceSettings":
        tls = self.tls
        if tls is not None:
            _or_value_error(tls.check)
        if self.tokens is not None:
            _or_value_error(self.read_tokens)
        if not is_loopback(self.host) and (missing := self._missing()):
            raise ValueError(f"host {self.host} is not loopback {'; '.join(missing)}")
        return self

    def _missing(self) -> list[str]:
        """What keeps the service from listening beyond loopback, each with both ways out of it."""
        missing = []
        if self.tls is None and not self.insecure:
            missing.append(
                "and the connection is not protected; give --tls-cert and --tls-key, or add --insecure to allow it"
            )
        if not self.authorises and not self.allow_anonymous:
            missing.append(
                "and anybody may call; give --tokens FILE (lines of NAME RIGHTS TOKEN), or --tls-client-ca to ask for "
                "certificates, or add --allow-anonymous to allow it"
            )
        return missing

    @property
    def authorises(self) -> bool:
        """Whether callers have to prove who they are, by a token or by a certificate (mTLS)."""
        return self.tokens is not None or self.tls_client_ca is not None

    @property
    def protection(self) -> str:
        """How connections are protected, for the log."""
        tls = "without TLS" if self.tls is None else "mTLS" if self.tls.client_ca else "TLS"
        tokens = "tokens" if self.tokens else "without tokens"
        return f"{tls}, {tokens}" if self.authorises else f"{tls}, {tokens}: whoever reaches it may call"

    @property
    def tls(self) -> ServerTls | None:
        """The TLS files; None: the connection is not encrypted."""
        if self.tls_cert is None and self.tls_key is None and self.tls_client_ca is None:
            return None
        if self.tls_cert is None or self.tls_key is None:
            raise ValueError("TLS needs a certificate and its key: give both --tls-cert and --tls-key")
        return ServerTls(self.tls_cert, self.tls_key, self.tls_client_ca)

    def read_tokens(self) -> tuple[Token, ...]:
        """The tokens; empty where none are asked for."""
        return read_tokens(self.tokens) if self.tokens else ()


def _or_value_error(check: Callable[[], object]) -> None:
    try:
        check()
    except BakeoffError as error:
        raise ValueError(str(error)) from error


def joined(host: str, port: int) -> str:
    """`host:port` as gRPC and URLs write it: an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """True for localhost and addresses of the loopback range."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load(settings: type[SettingsT], program: str, arguments: list[str] | None = None) -> SettingsT:
    """Reads settings, or ends the process: 0 after `--help`, 2 with one line per problem."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--help" in arguments or "-h" in arguments:
        print(help_text(settings, program))
        raise SystemExit(0)
    unknown = unknown_variables(settings, dict(os.environ))
    if unknown:
        known = ", ".join(variable(settings, name) for name in settings.model_fields)
        _fail(program, [f"{name}: unknown environment variable; known: {known}" for name in unknown])
    try:
        return CliApp.run(settings, cli_args=arguments)
    except pydantic.ValidationError as error:
        _fail(program, [_problem(settings, problem) for problem in problems_of(error)])
    except SettingsError as error:
        _fail(program, [str(error)])


def variable(settings: type[ServiceSettings], name: str) -> str:
    """The environment variable of a field."""
    return f"{settings.model_config['env_prefix']}{name}".upper()


def unknown_variables(settings: type[ServiceSettings], environment: dict[str, str]) -> list[str]:
    """Variables with the service's prefix that set nothing: a typing error must not pass in silence."""
    prefix = str(settings.model_config["env_prefix"]).upper()
    known = {variable(settings, name) for name in settings.model_fields}
    return sorted(name for name in environment if name.startswith(prefix) and name not in known)


def help_text(settings: type[ServiceSettings], program: str) -> str:
    """Every flag with its environment variable, default and meaning."""
    rows = [f"usage: {program} [--flag value …]", "", (settings.__doc__ or "").strip(), ""]
    for name, field in settings.model_fields.items():
        default = "required" if field.is_required() else f"default {field.get_default(call_default_factory=True)}"
        rows.append(f"  --{name.replace('_', '-'):22} {variable(settings, name)} ({default})")
        also = f" Also {SHARED_PREFIX}{name.upper()}, for every service." if name in SHARED else ""
        rows.append(f"      {field.description}{also}")
    return "\n".join(rows)


def _problem(settings: type[ServiceSettings], problem: object) -> str:
    assert isinstance(problem, dict)
    name = str(problem["loc"][0]) if problem["loc"] else ""
    where = f"--{name.replace('_', '-')} ({variable(settings, name)}): " if name else ""
    return f"{where}{problem['msg']}"


def _fail(program: str, problems: list[str]) -> NoReturn:
    for problem in problems:
        print(f"{program}: {problem}", file=sys.stderr)
    raise SystemExit(2)
