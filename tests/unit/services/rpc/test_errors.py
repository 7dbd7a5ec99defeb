import logging

import grpc
import pytest

from core import errors
from services.rpc.errors import CODES, from_rpc, status_of


@pytest.mark.parametrize("kind", sorted(CODES, key=lambda kind: kind.__name__))
def test_a_domain_error_keeps_its_message(kind: type[errors.BakeoffError]) -> None:
    error = errors.MissingExtraError("x", "y") if kind is errors.MissingExtraError else kind("what is wrong")
    code, message = status_of(error)
    assert code is CODES[kind]
    assert message == str(error)


def test_what_nobody_foresaw_is_internal_and_logged_once_with_the_id_the_client_gets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        code, message = status_of(ZeroDivisionError("secret detail"))
    assert code is grpc.StatusCode.INTERNAL
    assert "secret detail" not in message
    incident = message.split("incident ")[1].split(":")[0]
    assert [incident in record.getMessage() for record in caplog.records] == [True]


def test_a_call_the_server_does_not_have_is_told_from_other_failures() -> None:
    class Refused(grpc.RpcError):
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.UNIMPLEMENTED

        def details(self) -> str:
            return "Method not found!"

    error = from_rpc(Refused(), "host:1")
    assert isinstance(error, errors.UnsupportedError)
    assert str(error) == "Method not found!"


def test_every_code_is_a_different_one() -> None:
    assert len(set(CODES.values())) == len(CODES)


@pytest.mark.parametrize("text", ["a" * 70_000, "ü" * 70_000, "\n%" * 35_000, "鳥" * 1000, "\ud800" * 3000])
def test_a_message_that_quotes_more_than_metadata_holds_is_cut(text: str) -> None:
    code, message = status_of(errors.NotFoundError(f"no model {text}"))
    assert code is grpc.StatusCode.NOT_FOUND
    assert message.startswith("no model ")
    assert message.endswith("…")
    assert len(message.encode()) <= 2003


def test_a_message_that_fits_stays_as_it_is() -> None:
    text = "ü" * 1000
    assert status_of(errors.InvalidInputError(text)) == (grpc.StatusCode.INVALID_ARGUMENT, text)
