"""What a `.keras` file is made of, read without Keras."""

import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract import networks
from tests.contract.conftest import Probes

pytestmark = [pytest.mark.contract, pytest.mark.timeout(2700)]


def modules(value: Any) -> Iterator[str]:
    """Every module a serialised Keras object names, at any depth."""
    if isinstance(value, list):
        for item in value:
            yield from modules(item)
    if isinstance(value, dict):
        if isinstance(value.get("module"), str):
            yield value["module"]
        for item in value.values():
            yield from modules(item)


@pytest.mark.parametrize("case", networks.CASES)
def test_a_keras_file_needs_no_class_of_ours_and_runs_no_code(probes: Probes, case: str) -> None:
    with zipfile.ZipFile(probes["keras"].folder / case / "model.keras") as archive:
        text = archive.read("config.json").decode()
    found = set(modules(json.loads(text)))
    assert "keras.layers" in found
    assert {module for module in found if module.split(".")[0] not in ("keras", "builtins")} == set()
    assert "Lambda" not in text
