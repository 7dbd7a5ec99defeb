"""Version policies: which of a model's published versions are served at the same time, as in Triton's config.pbtxt."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from inference import model_config_pb2 as pb

from core.errors import InvalidInputError

PATTERN = "^(all|latest|latest:[1-9][0-9]{0,3})$"
"""What --version-policy takes. Named versions belong to one model, so they are config.pbtxt's alone."""


@dataclass(frozen=True)
class VersionPolicy:
    """Chooses versions: the newest `latest` ones, or the `specific` ones, or all where both are unset."""

    latest: int = 0
    specific: tuple[int, ...] = ()

    def choose(self, published: Sequence[int]) -> list[int]:
        """The versions to serve, ascending, of those `published`, ascending.

        Raises:
            InvalidInputError: none of the specific versions is published.
        """
        if self.latest:
            return list(published[-self.latest :])
        if not self.specific:
            return list(published)
        chosen = [version for version in published if version in self.specific]
        if not chosen:
            raise InvalidInputError(
                f"version_policy asks for {', '.join(map(str, self.specific))}, published are "
                f"{', '.join(map(str, published))}; change config.pbtxt"
            )
        return chosen

    def write(self, config: pb.ModelConfig) -> None:
        """Puts the policy into a model's configuration."""
        if self.latest:
            config.version_policy.latest.num_versions = self.latest
        elif self.specific:
            config.version_policy.specific.versions[:] = self.specific
        else:
            config.version_policy.all.SetInParent()


def parse_policy(text: str) -> VersionPolicy:
    """The policy behind a flag that fits PATTERN."""
    kind, _, count = text.partition(":")
    return VersionPolicy() if kind == "all" else VersionPolicy(latest=int(count or 1))


def policy_of(config: pb.ModelConfig, default: VersionPolicy) -> VersionPolicy:
    """The policy a model's configuration asks for; `default` where it asks for none.

    Raises:
        InvalidInputError: specific, but no version is named.
    """
    chosen = config.version_policy.WhichOneof("policy_choice")
    if chosen == "specific" and not config.version_policy.specific.versions:
        raise InvalidInputError(f"version_policy of model {config.name!r} is specific and names no version; name some")
    if chosen == "latest":
        return VersionPolicy(latest=config.version_policy.latest.num_versions or 1)
    if chosen == "specific":
        return VersionPolicy(specific=tuple(sorted(config.version_policy.specific.versions)))
    return VersionPolicy() if chosen == "all" else default


def parse_config(path: Path) -> pb.ModelConfig:
    """Reads a config.pbtxt. Raises InvalidInputError when it is not one."""
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} is not a model configuration: {error}") from error
