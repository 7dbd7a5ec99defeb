"""int8 and OpenVINO as variants of an experiment, through running services."""

from pathlib import Path

import pytest

from core.schemas.summary import Row, Summary
from tests.system.bakeoff_command import QUICK, Bakeoff, overrides

pytestmark = pytest.mark.system
SERVING = (
    "experiments/serving.yaml",
    *overrides(*QUICK, "arms.matched.recipe.epochs=1", "loadtest.sweep=null", "loadtest.bound_ms=null"),
)

NO_BF16 = """\
class Core:
    def get_property(self, *_):
        return ["FP32", "INT8"]
"""
"""OpenVINO as far as it is asked on a CPU without bfloat16."""


@pytest.fixture(scope="module")
def bakeoff(tmp_path_factory: pytest.TempPathFactory) -> Bakeoff:
    return Bakeoff(tmp_path_factory.mktemp("variants") / "home")


@pytest.fixture(scope="module")
def rows(bakeoff: Bakeoff) -> dict[tuple[str, str, str], Row]:
    """Rows by format, precision and runtime."""
    pytest.importorskip("openvino")
    ended = bakeoff.run("run", *SERVING)
    assert ended.code == 0, ended.out + ended.err
    summary = Summary.model_validate_json((bakeoff.home / "reports/serving/summary.json").read_bytes())
    assert summary.complete
    return {(row.format, row.precision, row.runtime): row for row in summary.rows}


def test_every_variant_is_scored_and_load_tested(rows: dict[tuple[str, str, str], Row]) -> None:
    assert list(rows) == [
        ("pt2", "fp32", "pytorch"),
        ("onnx", "fp32", "onnxruntime"),
        ("onnx", "int8", "onnxruntime"),
        ("onnx", "fp32", "openvino"),
    ]
    for row in rows.values():
        assert row.accuracy is not None
        assert row.load is not None
        assert row.load.errors == {}
        assert row.load.throughput > 0


def test_openvino_serves_the_same_artefact_and_gives_the_same_answers(rows: dict[tuple[str, str, str], Row]) -> None:
    row, plain = rows["onnx", "fp32", "openvino"], rows["onnx", "fp32", "onnxruntime"]
    assert row.artifact == plain.artifact
    assert row.parity is not None
    assert row.parity.largest_difference < 1e-4


def test_int8_is_a_smaller_artefact_that_differs_a_little(rows: dict[tuple[str, str, str], Row]) -> None:
    row, plain = rows["onnx", "int8", "onnxruntime"], rows["onnx", "fp32", "onnxruntime"]
    assert row.model == f"{plain.model}-int8"
    assert row.size_bytes < plain.size_bytes / 2
    assert row.parity is not None
    assert 1e-4 < row.parity.largest_difference < 0.2
    assert row.accuracy is not None
    assert plain.accuracy is not None
    assert row.accuracy_change == pytest.approx(row.accuracy - plain.accuracy)
    assert row.against_fp32 is not None


def test_every_form_of_the_report_has_the_variants(bakeoff: Bakeoff, rows: dict[tuple[str, str, str], Row]) -> None:
    markdown = bakeoff.run("report", "serving", "--format", "md").out
    assert "## Variants" in markdown
    assert "ONNX int8" in markdown
    assert 'id="variants"' in Path(bakeoff.run("report", "serving").out.strip()).read_text()


def test_started_again_nothing_is_repeated(bakeoff: Bakeoff, rows: dict[tuple[str, str, str], Row]) -> None:
    again = bakeoff.run("run", *SERVING)
    assert again.code == 0, again.err
    assert ": done" not in again.err
    assert "quantize serving-matched-pytorch-s0-onnx: already done" in again.err


def test_status_lists_the_openvino_servers_only_while_they_run(
    bakeoff: Bakeoff, rows: dict[tuple[str, str, str], Row]
) -> None:
    assert "serving-openvino" not in [row["service"] for row in bakeoff.json("status")]
    try:
        started = bakeoff.json("up", "serving-openvino", "--base-port", "0")
        assert [(row["service"], row["state"]) for row in started] == [("serving-openvino", "serving")]
        assert "serving-openvino" in [row["service"] for row in bakeoff.json("status")]
    finally:
        assert bakeoff.run("down").code == 0


def test_a_cpu_without_bfloat16_costs_that_variant_alone(
    bakeoff: Bakeoff, rows: dict[tuple[str, str, str], Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openvino.py").write_text(NO_BF16)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ended = bakeoff.run("run", *SERVING, "--set", "variants=[int8, openvino-bf16]")
    assert ended.code == 1
    summary = Summary.model_validate_json((bakeoff.home / "reports/serving/summary.json").read_bytes())
    assert [row.precision for row in summary.rows] == ["fp32", "fp32", "int8"]
    assert [line.split(" ")[0] for line in summary.missing] == ["evaluate", "loadtest"]
    assert all("on openvino-bf16: " in line for line in summary.missing)
    assert all("this CPU has no bfloat16 arithmetic" in line for line in summary.missing)
