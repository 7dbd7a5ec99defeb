"""What all schemas have in common."""

import hashlib
import json
import re
from typing import Annotated, Any, TypeVar

import pydantic

from core.errors import InvalidInputError

NAME_PATTERN, NAME_LENGTH = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", 63
NAME = re.compile(rf"(?=.{{1,{NAME_LENGTH}}}\Z){NAME_PATTERN}")
"""What a `Name` looks like, for names that come without a schema."""
Name = Annotated[str, pydantic.StringConstraints(pattern=NAME_PATTERN, max_length=NAME_LENGTH)]
"""Lower-case letters, digits and hyphens; also a valid Kubernetes and model name."""

Problem = dict[str, Any]
"""One of pydantic's `errors()`."""
PREFIX = re.compile("^(Value error|Assertion failed), ")
BRANCH = re.compile(r"constrained-\w+|\w+\[.*\]")
"""What pydantic calls one of several types a value may have, as if it were a key."""

SchemaT = TypeVar("SchemaT", bound=pydantic.BaseModel)

Sha256 = Annotated[str, pydantic.StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Schema(pydantic.BaseModel):
    """Frozen; an unknown key is an error; NaN and infinity are not numbers here."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_id(prefix: str, value: pydantic.BaseModel, *inputs: str) -> str:
    """`prefix-` and 16 hexadecimal digits of the sha256 over the value and its input fingerprints."""
    text = canonical_json([value.model_dump(mode="json"), *inputs])
    return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def explain(error: pydantic.ValidationError) -> str:
    """A validation error as one line per problem: where, what is wrong, and the value that was given."""
    return "; ".join(explain_one(problem) for problem in problems_of(error))


def problems_of(error: pydantic.ValidationError) -> list[Problem]:
    """The problems of a validation error in the words of whoever wrote the value, without pydantic's own.

    Where a value may be of several types, those it is not at all are left out; so is a list called too short because
    its items are wrong.
    """
    found: list[Problem] = [
        {**one, "loc": tuple(part for part in one["loc"] if not _is_branch(part)), "msg": PREFIX.sub("", one["msg"])}
        for one in error.errors()
    ]
    return [one for one in found if not any(_explains(other, one) for other in found)]


def explain_one(problem: Problem) -> str:
    """One of `problems_of` as `where: message (got value)`; without `where` for a problem of the whole."""
    where = ".".join(str(part) for part in problem["loc"])
    given = "" if isinstance(problem["input"], dict | list) else f" (got {problem['input']!r:.80})"
    return f"{where}: {problem['msg']}{given}" if where else f"{problem['msg']}{given}"


def _is_branch(part: int | str) -> bool:
    return isinstance(part, str) and BRANCH.fullmatch(part) is not None


def _explains(other: Problem, one: Problem) -> bool:
    """Whether `one` is nothing of its own beside `other`."""
    inside = other["loc"][: len(one["loc"])] == one["loc"]
    if one["type"] == "too_short":
        return inside and len(other["loc"]) > len(one["loc"])
    return inside and one["type"].endswith("_type") and not other["type"].endswith("_type")


def refuse_other_version(text: str | bytes, readable: tuple[int, ...], what: str, remedy: str) -> None:
    """Raises InvalidInputError for a document whose `schema_version` is none of the readable ones; `remedy` ends it."""
    try:
        document = json.loads(text)
    except ValueError:
        return
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version is not None and version not in readable:
        known = " and ".join(filter(None, (", ".join(map(str, readable[:-1])), str(readable[-1]))))
        raise InvalidInputError(
            f"{what} has schema_version {version!r}; this version of Bakeoff reads {known}: {remedy}"
        )


def parse_json(schema: type[SchemaT], text: str | bytes, what: str) -> SchemaT:
    """Validates JSON text against a schema.

    Raises:
        InvalidInputError: naming `what`, each wrong key and the value given.
    """
    try:
        return schema.model_validate_json(text)
    except pydantic.ValidationError as error:
        raise InvalidInputError(f"{what} is not valid: {explain(error)}") from error
