"""Reads an experiment file; an error names line, key and what is allowed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, LineCol
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from core.errors import InvalidInputError, NotFoundError
from core.schemas.base import explain_one, problems_of
from core.schemas.experiment import FULL, Experiment
from core.schemas.recipe import written_out
from services.orchestrator.scales import choose_scale, leave_out_arms, name_scale

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""`owner/name` of a data set on the Hugging Face hub; a path of two parts is told from it by a `./` before it."""


@dataclass(frozen=True)
class Misfit:
    """A key whose value is valid in itself and does not fit the data, or what a trainer has."""

    key: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(self.key)}: {self.message}"


class MisfitError(InvalidInputError):
    """What only a service can tell is wrong with an experiment; one line per problem."""

    def __init__(self, misfits: Sequence[Misfit]) -> None:
        super().__init__("\n".join(map(str, misfits)))
        self.misfits = tuple(misfits)

    def placed(self, path: Path) -> InvalidInputError:
        """The same with `file:line` of each key."""
        document = _parse(path)
        return InvalidInputError(
            "\n".join(f"{_place(path, document, _written(document, one.key))}: {one}" for one in self.misfits)
        )


def read_experiment(
    path: Path, overrides: Sequence[str] = (), data: str | None = None, scale: str = FULL
) -> Experiment:
    """Reads and validates an experiment.

    Args:
        path: a YAML file.
        scale: one of the file's `scales`, or "full": the file as it stands.
        overrides: `key.path=value` pairs, the value as YAML; they win over the file. An arm set to null is left out.
        data: path or hub name that replaces the one of `data.source`. A hub name in a folder's place makes the source
            one of kind dataset.

    Raises:
        NotFoundError: no such file.
        InvalidInputError: one line per problem, each with file, line, key, value and what is allowed.
    """
    document = _parse(path)
    written = [str(name) for name in document["arms"]] if isinstance(document.get("arms"), dict) else []
    choose_scale(document, scale, str(path))
    for override in overrides:
        _override(document, override)
    if data is not None:
        _replace_source(document, data)
    leave_out_arms(document, written, str(path))
    name_scale(document, scale)
    try:
        return Experiment.model_validate(_plain(document))
    except pydantic.ValidationError as error:
        lines = [f"{_place(path, document, problem['loc'])}: {_say(problem)}" for problem in problems_of(error)]
        raise InvalidInputError("\n".join(lines)) from error


def _parse(path: Path) -> CommentedMap:
    if not path.is_file():
        raise NotFoundError(f"no experiment file {path}; the ones that come with Bakeoff are in experiments/")
    document = load_yaml(path, "rt")
    if not isinstance(document, CommentedMap):
        raise InvalidInputError(f"{path}:1: expected a mapping with the keys {', '.join(Experiment.model_fields)}")
    unshared: CommentedMap = _unshared(document)
    return unshared


def load_yaml(path: Path, typ: Literal["rt", "safe"]) -> Any:
    """A YAML file's content; `rt` keeps the lines.

    Raises:
        InvalidInputError: naming file and line.
    """
    try:
        return YAML(typ=typ).load(path)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidInputError(f"{path}:{line}: not valid YAML: {error.problem}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path}: not text that YAML allows: {' '.join(str(error).split())}") from error


def _unshared(node: Any) -> Any:
    """The same with a copy in each place an anchor is used, so that changing one place changes no other."""
    copy: CommentedMap | CommentedSeq
    if isinstance(node, CommentedMap):
        copy = CommentedMap((key, _unshared(value)) for key, value in node.items())
    elif isinstance(node, CommentedSeq):
        copy = CommentedSeq(map(_unshared, node))
    else:
        return node
    setattr(copy, LineCol.attrib, node.lc)
    return copy


def _override(document: CommentedMap, override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise InvalidInputError(f"--set {override!r} is not valid: expected key.path=value, for example seeds=[0,1]")
    *parents, last = key.split(".")
    place: Any = document
    for part in parents:
        inner = written_out(part, place.get(part))
        place[part] = inner if isinstance(inner, dict) else CommentedMap()
        place = place[part]
    try:
        place[last] = YAML(typ="safe").load(text)
    except YAMLError as error:
        problem = error.problem if isinstance(error, MarkedYAMLError) else " ".join(str(error).split())
        raise InvalidInputError(f"--set {override!r} is not valid YAML after the '=': {problem}") from error


def _replace_source(document: CommentedMap, data: str) -> None:
    block = document.get("data")
    source = block.get("source") if isinstance(block, dict) else None
    kind = source.get("kind") if isinstance(source, dict) else None
    key = {"folder": "path", "dataset": "name"}.get(str(kind))
    if key is None or not isinstance(source, dict):
        raise InvalidInputError(f"--data goes with data.source.kind folder or dataset, not {kind!r}")
    if not data:
        raise InvalidInputError("--data is empty, as a variable that is not set is; expected a folder or a hub name")
    if Path(data).exists():
        # The service that reads it has another working directory.
        source[key] = str(Path(data).absolute())
    elif kind == "folder" and HUB_NAME.fullmatch(data):
        source.clear()
        source.update(kind="dataset", name=data)
    else:
        source[key] = data


def _plain(value: Any) -> Any:
    """ruamel's containers as dicts and lists; keys of arms and formats as strings."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _place(path: Path, document: CommentedMap, location: tuple[int | str, ...]) -> str:
    """`file:line` of the deepest part of a location that the file really has."""
    line: int = document.lc.line
    node: Any = document
    for part in location:
        there = range(len(node)) if isinstance(node, list) else node if isinstance(node, dict) else ()
        if part in there:
            line, node = _line(node, part, line), node[part]
    return f"{path}:{line + 1}"


def _line(node: Any, part: int | str, above: int) -> int:
    """Where a part of a mapping or a list is; of one that a scale or `--set` made, the parts may know it."""
    known = (node.lc.data or {}) if isinstance(node, CommentedMap | CommentedSeq) else {}
    inner = node[part].lc.line if isinstance(node[part], CommentedMap | CommentedSeq) else None
    if isinstance(node, CommentedMap) and part in known:
        return int(node.lc.key(part)[0])
    if inner is not None:
        return int(inner)
    return int(node.lc.item(part)[0]) if part in known else above


def _written(document: CommentedMap, key: tuple[str, ...]) -> tuple[Any, ...]:
    """A key as the file has it: the names of arms of a scale, or on another split, go on after a dash."""
    if key[0] != "arms":
        return key
    arms, name = document.get("arms") or {}, key[1]
    names = [one for one in arms if f"{name}-".startswith(f"{one}-")]
    return ("arms", max(names, key=lambda one: len(str(one)), default=name), *key[2:])


def _say(problem: Any) -> str:
    """The problem in words; an unknown key comes with the keys there are."""
    text = explain_one(problem)
    if problem["type"] != "extra_forbidden":
        return text
    siblings = _known_keys(problem["loc"])
    return f"{'.'.join(map(str, problem['loc']))}: unknown key" + (
        f"; known: {', '.join(siblings)}" if siblings else ""
    )


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """Keys allowed beside the last part of a location, from the schema itself."""
    schema = Experiment.model_json_schema()
    node: Any = schema
    for part in location[:-1]:
        node = _child(_resolve(node, schema), part, schema)
        if node is None:
            return []
    return sorted(_resolve(node, schema).get("properties", {}))


def _child(node: dict[str, Any], part: int | str, schema: dict[str, Any]) -> Any:
    if part in node.get("properties", {}):
        return node["properties"][part]
    for option in (*node.get("oneOf", ()), *node.get("anyOf", ())):
        resolved = _resolve(option, schema)
        kinds = [p.get("const") for p in resolved.get("properties", {}).values()]
        if part in kinds:
            return option
        if part in resolved.get("properties", {}):
            return resolved["properties"][part]
    patterns = list(node.get("patternProperties", {}).values())
    return node.get("additionalProperties") or node.get("items") or (patterns[0] if patterns else None)


def _resolve(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    return schema["$defs"][reference.rsplit("/", 1)[-1]] if reference else node
