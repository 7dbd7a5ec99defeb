"""Every exported artefact keeps the contract: uint8 images in, float32 probabilities out, any batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInputError
from core.formats import get_format
from core.runtimes import load
from tests.contract import networks
from tests.contract.conftest import Answers, Probes
from tests.contract.probe import BATCHES, PREDICTED

pytestmark = [pytest.mark.contract, pytest.mark.timeout(2700)]

every_case = pytest.mark.parametrize("case", networks.CASES)


def onnx_model(answers: Answers, case: str) -> Any:
    import onnx

    return onnx.load(answers.folder / case / "model.onnx", load_external_data=False)


def shape_of(value: Any) -> list[int | str]:
    """Dimensions of an ONNX value: numbers where fixed, names where dynamic."""
    return [d.dim_value if d.HasField("dim_value") else d.dim_param for d in value.type.tensor_type.shape.dim]


COMPUTES = ("Conv", "Gemm", "MatMul", "MaxPool", "AveragePool")
"""What a network begins with, after scaling and layout."""


@every_case
def test_each_format_predicts_what_the_model_in_memory_does(answers: Answers, case: str) -> None:
    expected = answers.arrays[f"{case}/predicted"]
    for format_name in answers.facts["formats"]:
        for number in BATCHES:
            got = answers.arrays[f"{case}/{format_name}/{number}"]
            assert got.dtype == np.float32
            assert got.shape == (number, networks.CASES[case].classes)
            assert np.abs(got - expected[:number]).max() <= 1e-5, (format_name, number)


@every_case
def test_frameworks_predict_the_same_probabilities_from_the_same_weights(probes: Probes, case: str) -> None:
    predicted = {each.framework: each.arrays[f"{case}/predicted"] for each in probes.all()}
    for name, array in predicted.items():
        assert np.abs(array - predicted["pytorch"]).max() <= 1e-4, name


@every_case
def test_predictions_are_distributions_of_more_images_than_one_batch_or_of_none(answers: Answers, case: str) -> None:
    predicted, classes = answers.arrays[f"{case}/predicted"], networks.CASES[case].classes
    assert predicted.shape == (PREDICTED, classes)
    assert answers.arrays[f"{case}/nothing"].shape == (0, classes)
    np.testing.assert_allclose(predicted.sum(axis=1), 1.0, atol=1e-5)
    # A network whose answer does not depend on the image would pass every comparison.
    assert predicted.std(axis=0).max() > 1e-3


@every_case
def test_exporting_leaves_the_model_as_it_was(answers: Answers, case: str) -> None:
    assert answers.facts[f"{case}/unchanged"]


@every_case
def test_onnx_passes_the_checker_with_the_contracts_names_types_and_dynamic_batch(answers: Answers, case: str) -> None:
    import onnx

    architecture, model = networks.CASES[case], onnx_model(answers, case)
    onnx.checker.check_model(model, full_check=True)
    (image,), (probabilities,) = model.graph.input, model.graph.output
    assert (image.name, probabilities.name) == ("image", "probabilities")
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert probabilities.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert shape_of(image) == ["batch", *architecture.input_shape]
    assert shape_of(probabilities) == ["batch", architecture.classes]


@every_case
def test_onnx_has_at_most_one_transpose_besides_the_one_at_the_input(answers: Answers, case: str) -> None:
    nodes = [node.op_type for node in onnx_model(answers, case).graph.node]
    begin = next(index for index, operator in enumerate(nodes) if operator in COMPUTES)
    at_the_input = "Transpose" in nodes[:begin]
    assert nodes.count("Transpose") - at_the_input <= 1


@every_case
def test_onnx_is_one_file_of_standard_operators(answers: Answers, case: str) -> None:
    model = onnx_model(answers, case)
    assert {entry.domain for entry in model.opset_import} <= {"", "ai.onnx", "ai.onnx.ml"}
    assert sorted(path.name for path in (answers.folder / case).glob("*.onnx*")) == ["model.onnx"]


def test_each_format_answers_several_threads_at_once_with_their_own_answers(answers: Answers) -> None:
    expected = answers.arrays["digits-cnn/predicted"]
    for format_name in answers.facts["formats"]:
        assert np.abs(answers.arrays[f"threads/{format_name}"] - expected).max() <= 1e-5, format_name


def test_half_an_artefact_is_refused_with_its_path(answers: Answers) -> None:
    for format_name in answers.facts["formats"]:
        path = answers.folder / "halved" / get_format(format_name).path
        assert str(path) in answers.facts[f"halved/{format_name}"]


def test_a_two_class_network_exports_both_probabilities_of_its_one_logit(answers: Answers) -> None:
    case = "binary"
    model = load("onnx", answers.folder / case / get_format("onnx").path, 1)
    logits = answers.arrays[f"{case}/float32/logits"]
    got = model(networks.images(networks.CASES[case], networks.BATCH, "inspect").images)
    sigmoid = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
    np.testing.assert_allclose(got, np.concatenate([1.0 - sigmoid, sigmoid], axis=1), atol=1e-5)


def test_an_n_way_sigmoid_network_exports_the_distribution_its_loss_optimises(answers: Answers) -> None:
    case = "smooth"
    model = load("onnx", answers.folder / case / get_format("onnx").path, 1)
    sigmoid = 1.0 / (1.0 + np.exp(-answers.arrays[f"{case}/float32/logits"].astype(np.float64)))
    got = model(networks.images(networks.CASES[case], networks.BATCH, "inspect").images)
    np.testing.assert_allclose(got, sigmoid / sigmoid.sum(axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("content", [None, b"", b"no model"], ids=["absent", "empty", "something else"])
def test_an_onnx_file_that_does_not_load_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"model\.onnx.*export"):
        load("onnx", path, 1)
