from pathlib import Path

import pytest

from core.repository import ModelRepository
from services.cli.ui import servers_of
from tests.unit.serving.published import linear, publish, weights


@pytest.mark.parametrize("manifest", ["{", '{"format": "onnx"}', "[]"])
def test_a_damaged_artefact_is_named_and_the_servers_of_the_others_are_started(
    tmp_path: Path, manifest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    predict = linear(weights())
    publish(tmp_path, "whole", predict)
    publish(tmp_path, "torn", predict, format_name="pt2")
    (tmp_path / "torn/1/artifact.json").write_text(manifest)
    assert servers_of(ModelRepository(tmp_path)) == ["serving-onnxruntime"]
    told = capsys.readouterr().err
    assert "model torn is left out" in told
    assert "whole" not in told
