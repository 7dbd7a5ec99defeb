from pathlib import Path

import pytest

from core.errors import DeniedError, InvalidInputError, UnauthenticatedError
from services.rpc.authorisation import Authoriser, Right, read_tokens

READER, WRITER = "r" * 24, "w" * 24
METHOD, OTHER = "/inference.Service/Infer", "/inference.Service/Load"


def tokens_of(folder: Path, text: str) -> Path:
    path = folder / "tokens"
    path.write_text(text)
    return path


@pytest.fixture
def authoriser(tmp_path: Path) -> Authoriser:
    path = tokens_of(tmp_path, f"# who may what\n\nweb inference {READER}\n  ops  inference,control {WRITER}\n")
    return Authoriser(read_tokens(path), {METHOD: Right.INFERENCE})


def bearer(token: str, scheme: str = "Bearer") -> list[tuple[str, str]]:
    return [("user-agent", "x"), ("authorization", f"{scheme} {token}")]


def test_a_token_may_what_its_rights_say(authoriser: Authoriser) -> None:
    authoriser.check(METHOD, bearer(READER))
    authoriser.check(METHOD, bearer(WRITER, "bearer"))
    authoriser.check(OTHER, bearer(WRITER))


def test_a_method_nobody_named_needs_control(authoriser: Authoriser) -> None:
    with pytest.raises(DeniedError, match=r"token 'web' has no right to /x.Y/Z: it needs 'control'"):
        authoriser.check("/x.Y/Z", bearer(READER))


def test_probes_need_no_token_and_reflection_needs_any(authoriser: Authoriser) -> None:
    authoriser.check("/grpc.health.v1.Health/Check", [])
    authoriser.check("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", bearer(READER))
    with pytest.raises(UnauthenticatedError):
        authoriser.check("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", [])


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        bearer("x" * 24),
        bearer(READER[:-1]),
        bearer(READER + "r"),
        bearer(""),
        bearer(READER, "Basic"),
        bearer("über\U0001f600"),
        [("authorization", READER)],
        [("authorization", b"\xff\xfe")],
        [("authorization-bin", b"Bearer " + READER.encode())],
    ],
)
def test_without_a_valid_token_nothing_is_allowed_and_none_is_shown(authoriser: Authoriser, metadata: list) -> None:
    with pytest.raises(UnauthenticatedError) as refused:
        authoriser.check(METHOD, metadata)
    assert READER not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no token"),
        ("# only a comment\n", "has no token"),
        (f"web {READER}", "line 1: expected NAME RIGHTS TOKEN, found 2 words"),
        (f"\nweb admin {READER}", r"line 2: unknown rights \['admin'\]"),
        (f"web inference, {READER}", r"unknown rights \[''\]"),
        ("web inference short", "line 1: the token of 'web' is not usable"),
        ("web inference " + "ü" * 20, "is not usable"),
        (f"a inference {READER}\nb control {READER}", "the same token stands in two lines"),
        (f"a inference {READER}\na control {WRITER}", "the same name stands in two lines"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line_and_without_its_secrets(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as refused:
        read_tokens(tokens_of(tmp_path, text))
    assert READER not in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="absent cannot be read"):
        read_tokens(tmp_path / "absent")
