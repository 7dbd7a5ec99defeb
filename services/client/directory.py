"""Where the services are: environment first, then what `bakeoff up` wrote, then the default ports."""

import os
from pathlib import Path

import pydantic

from core import files
from core.errors import NotFoundError
from core.schemas.base import parse_json

SERVICES = {
    "trainer-keras": 7101,
    "trainer-tensorflow": 7102,
    "trainer-pytorch": 7103,
    "trainer-fastai": 7104,
    "evaluator": 7105,
    "serving-onnxruntime": 7111,
    "serving-tensorflow": 7112,
    "serving-pytorch": 7113,
    "serving-openvino": 7114,
    "serving-openvino-bf16": 7115,
}
"""Service name to its default port."""
ON_DEMAND = ("serving-openvino", "serving-openvino-bf16")
"""Services that run where an experiment or a person asks for them by name."""

METRICS_OFFSET = 1000
"""Prometheus port = gRPC port + this, where ports are fixed."""


class Started(pydantic.BaseModel):
    """A service that `bakeoff up` or `bakeoff run` started on this machine."""

    name: str
    pid: int
    create_time: float
    """Start of the process in seconds since 1970: tells a recycled pid from ours."""
    target: str
    metrics: str | None = None
    log: str
    temporary: bool = False
    """It was started for a command, and ends with the last one that uses services of this home folder."""
    returns_to: str = ""
    """Address that it had before it was started anew for a command; then it is started there again."""


class StartedServices(pydantic.BaseModel):
    """`services.json` in the home folder."""

    services: tuple[Started, ...] = ()


class Directory:
    """Addresses of services as seen from one home folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._path = home / "services.json"

    def started(self) -> tuple[Started, ...]:
        """What was started from this home folder; some of it may be gone by now."""
        if not self._path.is_file():
            return ()
        return parse_json(StartedServices, self._path.read_bytes(), str(self._path)).services

    def write(self, services: tuple[Started, ...]) -> None:
        """Remembers what was started."""
        files.write_json(self._path, StartedServices(services=services))

    def target(self, name: str) -> str:
        """`host:port` of a service. Raises NotFoundError for a name that is not one."""
        if name not in SERVICES:
            raise NotFoundError(f"unknown service {name!r}; known: {', '.join(SERVICES)}")
        if from_environment := os.environ.get(variable(name)):
            return from_environment
        found = next((service.target for service in self.started() if service.name == name), None)
        return found or f"127.0.0.1:{SERVICES[name]}"

    def expected(self) -> list[str]:
        """The services that always run, and those on demand that were started here or have an address."""
        known = {service.name for service in self.started()}
        return [n for n in SERVICES if n not in ON_DEMAND or n in known or variable(n) in os.environ]

    def metrics(self, name: str) -> str | None:
        """URL of a service's Prometheus page; None where it is not known, for example behind another address."""
        if os.environ.get(variable(name)):
            return None
        return next((service.metrics for service in self.started() if service.name == name), None)


def variable(name: str) -> str:
    """The environment variable that sets a service's address."""
    return f"BAKEOFF_ENDPOINT_{name.upper().replace('-', '_')}"
