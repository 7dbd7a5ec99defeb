import json
import logging

import pytest
from inference import grpc_service_pb2 as pb

from core.errors import InvalidInputError
from services.rpc.errors import status_of
from services.rpc.logs import FIELDS, JsonFormatter


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    formatter = JsonFormatter()
    return [json.loads(formatter.format(record)) for record in caplog.records]


def test_an_incident_names_request_and_model_and_keeps_its_traceback_on_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    request = pb.ModelInferRequest(id="r-7", model_name="digits")
    try:
        raise ZeroDivisionError("unforeseen\nin two lines")
    except ZeroDivisionError as error:
        _, message = status_of(error, request)
    (line,) = lines(caplog)
    assert (line["request_id"], line["model"], line["code"], line["level"]) == ("r-7", "digits", "INTERNAL", "ERROR")
    assert line["incident"] in message
    assert "ZeroDivisionError: unforeseen" in line["exception"]
    assert line["time"].endswith("+00:00")


def test_refusals_are_logged_for_those_who_debug_only(caplog: pytest.LogCaptureFixture) -> None:
    request = pb.ModelInferRequest(id="r-8")
    with caplog.at_level(logging.INFO):
        status_of(InvalidInputError("wrong"), request)
    assert lines(caplog) == []
    with caplog.at_level(logging.DEBUG):
        status_of(InvalidInputError("wrong"), request)
    (line,) = lines(caplog)
    assert line["message"] == "refused with INVALID_ARGUMENT: wrong"
    assert line["request_id"] == "r-8"


def test_a_line_about_no_request_has_no_empty_fields(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("services").info("serves on %s", "ü:1")
    (line,) = lines(caplog)
    assert line["message"] == "serves on ü:1"
    assert not set(FIELDS) & line.keys()
