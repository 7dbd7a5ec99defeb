import csv
import io
import re

import numpy as np
import pytest

from core.gate import check
from core.schemas.gates import Gates
from core.schemas.metrics import Parity
from core.schemas.results import EvaluateResult, LoadTestResult, QuantizeResult, TrainResult
from core.schemas.specs import QuantizeSpec, RuntimeName
from core.schemas.summary import Row, Summary
from evaluator import naming
from evaluator.report.cards import cards
from evaluator.report.csvfile import to_csv
from evaluator.report.html import render
from evaluator.report.markdown import to_markdown
from evaluator.report.parity_tables import matrices
from evaluator.report.tables import artefacts, exports
from evaluator.report.variant_tables import costs
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment, changed, digest, environment

ONNX = "test-digits-matched-pytorch-s0-onnx"
WRONG = 9
"""Images the int8 model has wrong that fp32 has right."""


def summary_of(experiment: Experiment) -> Summary:
    return summarise(experiment.spec, experiment.results, experiment.probabilities, experiment.labels)


def serve(experiment: Experiment, model: str, artifact: str, runtime: RuntimeName, wrong: int = 0) -> None:
    """Scores and load-tests a variant: the answers of the ONNX artefact, but for the first `wrong` right ones."""
    score = next(r for r in experiment.results if isinstance(r, EvaluateResult) and r.spec.model == ONNX)
    load = next(r for r in experiment.results if isinstance(r, LoadTestResult) and r.spec.model == ONNX)
    found = experiment.probabilities[score.run_id].copy()
    right = np.flatnonzero(found.argmax(axis=1) == experiment.labels)[:wrong]
    found[right] = np.roll(found[right], 1, axis=1)
    run_id, own = f"evaluate-{model}-{runtime}", {"model": model, "artifact": artifact, "runtime": runtime}
    experiment.probabilities[run_id] = found
    accuracy = score.accuracy - wrong / experiment.images
    spec = score.spec.model_copy(update=own)
    experiment.results.append(score.model_copy(update={"run_id": run_id, "spec": spec, "accuracy": accuracy}))
    faster = {"run_id": f"load-{model}-{runtime}", "spec": load.spec.model_copy(update=own)}
    experiment.results.append(load.model_copy(update={**faster, "throughput": 2 * load.throughput}))


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    """One PyTorch training as .pt2 and ONNX, with an int8 model and both OpenVINO runtimes beside them."""
    one = Experiment(arms=("matched",), frameworks=("pytorch",), seeds=(0,))
    training = next(result for result in one.results if isinstance(result, TrainResult))
    source = next(model for model in training.models if model.format == "onnx")
    int8 = source.model_copy(
        update={
            "name": f"{ONNX}-int8",
            "artifact": digest("int8"),
            "size_bytes": source.size_bytes // 3,
            "parity": Parity(largest_difference=0.03, mean_difference=0.001, disagreements=2, images=64),
        }
    )
    spec = QuantizeSpec(model=ONNX, version=1, artifact=source.artifact, data=training.spec.data)
    made = QuantizeResult(
        run_id="quantize-1", spec=spec, model=int8, source_bytes=source.size_bytes, environment=environment()
    )
    one.results.append(made)
    serve(one, int8.name, int8.artifact, "onnxruntime", WRONG)
    serve(one, ONNX, source.artifact, "openvino")
    serve(one, ONNX, source.artifact, "openvino-bf16", 1)
    return one


@pytest.fixture(scope="module")
def summary(experiment: Experiment) -> Summary:
    return summary_of(experiment)


def row_of(summary: Summary, label: str) -> Row:
    return next(row for row in summary.rows if row.label == f"matched pytorch s0 {label}")


def test_every_variant_is_a_row_of_its_own_after_the_plain_ones(summary: Summary) -> None:
    found = [(row.format, row.precision, row.runtime) for row in summary.rows]
    assert found == [
        ("pt2", "fp32", "pytorch"),
        ("onnx", "fp32", "onnxruntime"),
        ("onnx", "int8", "onnxruntime"),
        ("onnx", "fp32", "openvino"),
        ("onnx", "bf16", "openvino-bf16"),
    ]
    assert len({row.label for row in summary.rows}) == 5
    assert all(row.load for row in summary.rows)
    assert summary.complete


def test_a_variant_is_held_against_the_fp32_onnx_of_its_training(summary: Summary, experiment: Experiment) -> None:
    int8, plain = row_of(summary, "onnx-int8/onnxruntime"), row_of(summary, "onnx/onnxruntime")
    assert int8.parity is not None
    assert int8.parity.disagreements == WRONG
    first = experiment.probabilities[f"evaluate-{ONNX}"].astype(np.float64)
    second = experiment.probabilities[f"evaluate-{ONNX}-int8-onnxruntime"].astype(np.float64)
    assert int8.parity.largest_difference == pytest.approx(np.abs(first - second).max())
    assert int8.accuracy_change == pytest.approx(-WRONG / experiment.images)
    assert int8.against_fp32 is not None
    assert (int8.against_fp32.only_first, int8.against_fp32.only_second) == (WRONG, 0)
    assert plain.against_fp32 is None
    assert plain.accuracy_change is None


def test_another_runtime_that_computes_the_same_costs_nothing(summary: Summary) -> None:
    row = row_of(summary, "onnx/openvino")
    assert row.parity is not None
    assert (row.parity.largest_difference, row.parity.disagreements, row.accuracy_change) == (0, 0, 0)


def test_p_values_of_variants_are_corrected_for_all_of_them(summary: Summary) -> None:
    test = row_of(summary, "onnx-int8/onnxruntime").against_fp32
    assert test is not None
    assert test.p_value == pytest.approx(2 * 0.5**WRONG)
    assert test.p_adjusted == pytest.approx(3 * test.p_value)


def test_frameworks_are_compared_by_their_plain_artefacts_alone(summary: Summary) -> None:
    plain = row_of(summary, "onnx/onnxruntime")
    (group,) = summary.groups
    assert [seed.accuracy for seed in group.seeds] == [plain.accuracy]
    (representative,) = (one for one in summary.classifications if one.representative)
    assert summary.rows[representative.row or 0] is plain


def test_changed_answers_of_a_variant_are_told_against_fp32(summary: Summary) -> None:
    rows = [one.row for one in summary.disagreements]
    assert rows.count(2) == WRONG
    assert rows.count(4) == 1


def test_the_table_of_variants_sets_speed_beside_cost(summary: Summary) -> None:
    table = costs(summary)
    found = {row[2]: dict(zip(table.headers, row, strict=True)) for row in table.rows}
    assert list(found) == ["ONNX int8", "ONNX on OpenVINO", "ONNX on OpenVINO bf16"]
    int8 = found["ONNX int8"]
    assert int8["Change"] == "−2.50 points"
    assert int8["Right alone"] == "9 : 0"
    assert int8["Throughput"] == "× 2.00"
    assert int8["Size"] == "× 0.333"
    parity = row_of(summary, "onnx-int8/onnxruntime").parity
    assert parity is not None
    assert int8["Parity"] == f"{parity.largest_difference:.1e} / {parity.mean_difference:.1e}"
    assert found["ONNX on OpenVINO"]["Change"] == "±0.00 points"


def test_variants_stand_in_the_matrix_beside_the_plain_artefacts(summary: Summary) -> None:
    assert len(summary.parities) == 10
    ((row, table),) = matrices(summary)
    assert (row.framework, row.seed) == ("pytorch", 0)
    assert table.headers[1:] == (".pt2", "ONNX", "ONNX int8", "ONNX on OpenVINO", "ONNX on OpenVINO bf16")
    assert table.rows[1][3].endswith(f"({WRONG} differ)")
    assert table.rows[1][4] == "0 / 0 (0 differ)"


def test_a_variant_whose_fp32_was_not_scored_has_no_parity(experiment: Experiment) -> None:
    gone = {f"evaluate-{ONNX}", f"load-{ONNX}"}
    kept = [result for result in experiment.results if result.run_id not in gone]
    found = summarise(experiment.spec, kept, experiment.probabilities, experiment.labels)
    row = row_of(found, "onnx-int8/onnxruntime")
    assert row.accuracy is not None
    assert row.parity is None
    assert row.against_fp32 is None
    assert row.accuracy_change is None
    assert costs(found).rows == ()


def test_an_int8_model_of_another_artefact_is_left_out(experiment: Experiment) -> None:
    made = next(result for result in experiment.results if isinstance(result, QuantizeResult))
    other = made.spec.model_copy(update={"artifact": digest("retrained")})
    found = summarise(
        experiment.spec,
        changed(experiment.results, made.run_id, spec=other),
        experiment.probabilities,
        experiment.labels,
    )
    assert [row.precision for row in found.rows] == ["fp32", "fp32", "fp32", "bf16"]
    assert found.missing[0].startswith("quantize quantize-1: ")


def test_every_form_of_the_report_tells_variants_apart(summary: Summary, experiment: Experiment) -> None:
    page, markdown = render(summary, experiment.samples(), {}, cards(summary)), to_markdown(summary)
    assert 'id="variants"' in page
    assert "## Variants" in markdown
    assert "ONNX on OpenVINO bf16" in markdown
    lines = list(csv.DictReader(io.StringIO(to_csv(summary))))
    assert [line["precision"] for line in lines] == [row.precision for row in summary.rows]
    assert float(lines[2]["accuracy_change"]) == pytest.approx(-WRONG / experiment.images)
    assert (lines[2]["native_parity_largest"], lines[2]["fp32_parity_disagreements"]) == ("", str(WRONG))
    assert Summary.model_validate_json(summary.model_dump_json()) == summary


def test_a_report_without_variants_has_no_section_about_them() -> None:
    plain = summary_of(Experiment(arms=("matched",), frameworks=("pytorch",), seeds=(0,)))
    assert 'id="variants"' not in render(plain, (), {}, cards(plain))
    assert "Variants" not in to_markdown(plain)


def test_the_int8_artefact_is_listed_and_has_a_card(summary: Summary) -> None:
    assert f"{ONNX}-int8" in [row[0] for row in artefacts(summary).rows]
    card = cards(summary)[f"{ONNX}-int8-v1.md"]
    assert "ONNX int8" in card
    assert "of the fp32 model it was made of" in card
    assert "accuracy −2.50 points; 9 images right in that one alone" in card
    assert len(exports(summary).rows) == 2


def test_a_gate_can_be_about_one_precision(summary: Summary) -> None:
    rule = {"metric": "parity_disagreements", "max": 0, "where": {"precision": "int8"}}
    (done,) = [one for one in check(summary, Gates.model_validate({"rules": [rule]})) if one.artefact]
    assert not done.passed
    assert done.value == WRONG


def test_the_verdict_names_precision_and_runtime(summary: Summary) -> None:
    picks = {pick.kind: summary.rows[pick.row].label for pick in summary.verdict.picks}
    assert picks["size"] == "matched pytorch s0 onnx-int8/onnxruntime"
    assert "ONNX on OpenVINO" in summary.verdict.reason + "".join(pick.detail for pick in summary.verdict.picks)


def test_every_confusion_matrix_says_how_its_artefact_is_served(summary: Summary) -> None:
    page = render(summary, (), {}, {})
    found = re.findall(r"<figcaption>Confusion matrix: ([^,<]+),", page)
    assert found == [f"PyTorch {naming.served(one)}" for one in summary.classifications]
    assert len(set(found)) == len(found) > 2
