"""Our protocol files against the descriptors inside the published tritonclient package."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.system.venvs import TRITONCLIENT, python_with

pytestmark = pytest.mark.system
DESCRIBE = Path(__file__).parent / "describe_protocol.py"
LEFT_OUT = ("SystemSharedMemory", "CudaSharedMemory", "TraceSetting", "LogSettings")
"""What this server does not have, by the beginning of the name."""


def described(python: Path | str, *modules: str) -> dict[str, Any]:
    done = subprocess.run([str(python), str(DESCRIBE), *modules], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    return described(sys.executable, "inference.model_config_pb2", "inference.grpc_service_pb2")


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    python = python_with(*TRITONCLIENT)
    found = described(python, "tritonclient.grpc.model_config_pb2", "tritonclient.grpc.service_pb2")
    for kind in ("messages", "rpcs"):
        known = {name: value for name, value in found[kind].items() if not is_left_out(name)}
        assert len(known) < len(found[kind])
        found[kind] = known
    return found


def is_left_out(name: str) -> bool:
    return name.removeprefix("GRPCInferenceService.").startswith(LEFT_OUT)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["packages", "rpcs", "enums"])
def test_names_numbers_and_streaming_are_the_published_ones(ours, published, kind):
    assert ours[kind] == published[kind]


@pytest.mark.timeout(600)
def test_every_message_has_the_published_fields_with_their_numbers_types_and_labels(ours, published):
    assert sorted(ours["messages"]) == sorted(published["messages"])
    for name, message in published["messages"].items():
        assert ours["messages"][name] == message, name
