"""The log of a service: lines for people, or a JSON object per line for what collects logs."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
FIELDS = ("request_id", "model", "code", "incident")
"""What a record may carry besides; given to the logger as `extra`."""
ATTACHED = "bakeoff_request"
"""Attribute of an error: see `attach`."""


class JsonFormatter(logging.Formatter):
    """`time` (ISO 8601, UTC), `level`, `logger`, `message`, those of FIELDS that are known, `exception` if any."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if getattr(record, name, "")}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(level: str, style: str) -> None:
    """Logs to standard error, as `text` or `json`."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if style == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=level, handlers=[handler])


def of_request(request: object) -> dict[str, str]:
    """What a log line says about the request it is about; empty strings where the request has no such field."""
    found = {"request_id": getattr(request, "id", ""), "model": getattr(request, "model_name", "")}
    return {name: value if isinstance(value, str) else "" for name, value in found.items()}


def attach(error: BaseException, read: Callable[[], object]) -> None:
    """Keeps with an error how to read the request it is about, which costs nothing until the error is logged."""
    setattr(error, ATTACHED, read)


def about(error: BaseException, request: object) -> dict[str, str]:
    """What a log line says about the request behind an error: the one attached, else `request`."""
    read = getattr(error, ATTACHED, None)
    return of_request(read() if read else request)
