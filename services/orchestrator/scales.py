"""Sizes of an experiment: `scales` names what is written differently for each, and which arms are left out."""

from collections.abc import Collection
from functools import partial
from typing import Any

from core.errors import InvalidInputError
from core.schemas.experiment import FULL
from core.schemas.recipe import written_out


def choose_scale(document: dict[str, Any], scale: str, file: str) -> None:
    """Merges a scale into the document in place and takes `scales` out of it: mappings merge, all else replaces.

    Raises:
        InvalidInputError: the file has no such scale, or `scales` is no mapping of mappings.
    """
    scales = document.pop("scales", None) or {}
    if not isinstance(scales, dict) or not all(isinstance(part, dict) for part in scales.values()):
        raise InvalidInputError(f"{file}: scales: expected a mapping from a name to what is different at that size")
    if scale == FULL:
        return
    if scale not in scales:
        known = ", ".join([FULL, *map(str, scales)])
        raise InvalidInputError(f"{file} has no scale {scale!r}; it has: {known}")
    _merge(document, scales[scale])


def leave_out_arms(document: dict[str, Any], written: Collection[str], file: str) -> None:
    """Takes out of the document, in place, every arm set to null, with what the study claims about it, and out
    of load test and other split. Claims about a framework that an arm is not trained in go too.

    Comes after overrides, which may set an arm to null as a scale may.

    Args:
        written: the arms that the file itself has.

    Raises:
        InvalidInputError: there is no such arm to leave out, or no other is left.
    """
    arms = document.get("arms")
    if not isinstance(arms, dict):
        return
    left_out = {str(name) for name, arm in arms.items() if arm is None}
    if unknown := sorted(left_out - {*written}):
        raise InvalidInputError(f"{file}: arms.{unknown[0]} is null, and there is no such arm: {', '.join(written)}")
    for name in [name for name in arms if str(name) in left_out]:
        del arms[name]  # in place: the rest keeps its lines, which errors name
    if left_out and not arms:
        raise InvalidInputError(f"{file}: every arm is left out (null): {', '.join(sorted(left_out))}; one must stay")
    _leave_out_of_study(document, left_out)
    for block in ("loadtest", "other_split"):
        _leave_out_of(block, document, left_out)


def name_scale(document: dict[str, Any], scale: str) -> None:
    """Ends the names of arms in the scale, also where they are referred to: models of another size are other models.

    Comes after overrides, which use the names in the file.
    """
    arms = document.get("arms")
    if scale == FULL or not isinstance(arms, dict):
        return
    document["scale"] = scale
    names = {str(name): f"{name}-{scale}" for name in arms}
    document["arms"] = {names[str(name)]: arm for name, arm in arms.items()}
    for place in _references(document):
        place["arms"] = [names.get(str(name), name) for name in place["arms"]]
    search = document.get("search")
    if isinstance(search, dict) and "arm" in search:
        search["arm"] = names.get(str(search["arm"]), search["arm"])


def _merge(target: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        inner = written_out(key, target.get(key))
        if isinstance(value, dict) and isinstance(inner, dict):
            target[key] = inner
            _merge(inner, value)
        else:
            target[key] = value


def _leave_out_of_study(document: dict[str, Any], left_out: set[str]) -> None:
    """Takes arms, and those of the other side that stand against them, out of claims; claims without any go too, and
    the study with its last one. Claims that are not right as they stand are left to whoever tells what is wrong."""
    study = document.get("study")
    claims = study.get("claims") if isinstance(study, dict) else None
    if not isinstance(study, dict) or not isinstance(claims, list):
        return
    study["claims"] = [claim for claim in claims if _stays(claim, document, left_out)]
    if claims and not study["claims"]:
        document["study"] = None


def _stays(claim: Any, document: dict[str, Any], left_out: set[str]) -> bool:
    """Whether a claim has arms left, or had none; it loses the others."""
    sides = [side for side in _sides(claim) if isinstance(side.get("arms"), list)]
    if len({len(side["arms"]) for side in sides}) != 1 or not sides[0]["arms"]:
        return True
    pairs = [
        pair
        for pair in zip(*(side["arms"] for side in sides), strict=True)
        if left_out.isdisjoint(map(str, pair)) and all(map(partial(_trains, document), pair, sides))
    ]
    for number, side in enumerate(sides):
        side["arms"] = [pair[number] for pair in pairs]
    return bool(pairs)


def _trains(document: dict[str, Any], arm: Any, side: dict[str, Any]) -> bool:
    """Whether an arm is trained in a side's framework, as far as it names its own; an unknown one is told elsewhere."""
    one = next((one for name, one in document["arms"].items() if str(name) == str(arm)), None)
    own = one.get("frameworks") if isinstance(one, dict) else None
    return not isinstance(own, list) or side.get("framework") in own


def _leave_out_of(block: str, document: dict[str, Any], arms: set[str]) -> None:
    """Takes arms out of load test or other split, and that too where none is left."""
    place = document.get(block)
    if not isinstance(place, dict) or not isinstance(place.get("arms"), list):
        return
    kept = [name for name in place["arms"] if str(name) not in arms]
    if kept or not place["arms"]:
        place["arms"] = kept
    else:
        document[block] = None


def _sides(claim: Any) -> list[dict[str, Any]]:
    sides = [claim.get(side) for side in ("first", "second")] if isinstance(claim, dict) else []
    return [side for side in sides if isinstance(side, dict)]


def _references(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Every mapping that lists arms: of load test, attribution and other split, and the sides of a study's claims."""
    study = document.get("study")
    claims = study.get("claims") if isinstance(study, dict) else None
    sides = [side for claim in claims or () for side in _sides(claim)]
    return [
        place
        for place in (*(document.get(key) for key in ("loadtest", "attribution", "other_split")), *sides)
        if isinstance(place, dict) and isinstance(place.get("arms"), list)
    ]
