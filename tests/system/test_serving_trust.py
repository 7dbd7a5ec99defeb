"""What an untrusted repository may hold, with real ONNX files."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from core import runtimes
from core.errors import InvalidInputError, WrongStateError
from core.repository import ModelRepository
from services.serving.loading import Loader
from services.serving.settings import ServingSettings
from services.serving.trust import check_onnx
from tests.system.onnx_models import linear_model
from tests.unit.serving import published

pytestmark = pytest.mark.system


@pytest.fixture
def model() -> onnx.ModelProto:
    return onnx.load_from_string(linear_model(published.weights(), published.SHAPE))


FILE = Path("m.onnx")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_plain_onnx_is_loaded_from_an_untrusted_repository(tmp_path, runtime):
    kernel = published.weights()
    published.publish(tmp_path, "m", published.linear(kernel), linear_model(kernel, published.SHAPE))
    settings = ServingSettings(runtime=runtime, repository=tmp_path)
    loaded = Loader(ModelRepository(tmp_path), settings).load("m", 1)
    images = published.images(5)
    images.setflags(write=False)
    np.testing.assert_allclose(loaded.predict(images), published.linear(kernel)(images), atol=1e-6)


def test_an_operator_of_another_domain_needs_trust(model):
    model.graph.node[1].domain = "com.example"
    with pytest.raises(WrongStateError, match=r"operator com\.example\.Div is not a standard one.*--trust-repository"):
        check_onnx(FILE, model.SerializeToString())


def test_an_operator_of_another_domain_inside_a_branch_is_found(model):
    odd = helper.make_node("Odd", [], ["y"], domain="com.example")
    branch = helper.make_graph([odd], "branch", [], [helper.make_empty_tensor_value_info("y")])
    model.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch))
    with pytest.raises(WrongStateError, match=r"com\.example\.Odd"):
        check_onnx(FILE, model.SerializeToString())


def test_a_function_defined_in_the_file_is_allowed_but_not_its_neighbours(model):
    identity = helper.make_node("Identity", ["x"], ["y"])
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("local", "Same", ["x"], ["y"], [identity], opsets))
    model.graph.node.append(helper.make_node("Same", ["logits"], ["unused"], domain="local"))
    check_onnx(FILE, model.SerializeToString())
    model.graph.node.append(helper.make_node("Other", ["logits"], ["unused2"], domain="local"))
    with pytest.raises(WrongStateError, match=r"local\.Other"):
        check_onnx(FILE, model.SerializeToString())


def test_external_data_needs_trust(model):
    tensor = model.graph.initializer[2]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    tensor.ClearField("raw_data")
    with pytest.raises(WrongStateError, match="tensor 'kernel' lies in another file"):
        check_onnx(FILE, model.SerializeToString())


def test_bytes_that_could_be_taken_for_another_format_are_loaded_as_the_onnx_that_was_checked():
    """ONNX Runtime tells its own format by four bytes, which a text in an ONNX file may hold as well."""
    kernel = published.weights()
    producer = b"\x12\x06\0\0ORTM"
    data = producer + linear_model(kernel, published.SHAPE)
    assert onnx.load_from_string(data).graph.name == "linear"
    check_onnx(FILE, data)
    predict, device = runtimes.load_on("onnx", FILE, 1, data=data)
    images = published.images(3)
    np.testing.assert_allclose(predict(images), published.linear(kernel)(images), atol=1e-6)
    assert device == "cpu"


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_content_that_is_no_model_is_named_by_its_file(runtime):
    with pytest.raises(InvalidInputError, match=r"^m\.onnx does not load"):
        runtimes.load_on("onnx", FILE, 1, runtime, data=b"\x0a\x01g")
