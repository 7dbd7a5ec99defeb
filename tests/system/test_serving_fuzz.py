"""Any bytes at all to every method but inference: never an internal error, never the end of the server.

Inference has its own: `test_serving_under_fire`.
"""

from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inference import grpc_service_pb2 as pb

from tests.system.serving_process import ServingProcess, infer_request, probabilities, publish, serving
from tests.unit.serving import published

pytestmark = pytest.mark.system
MODEL, SERVICE = "linear", "/inference.GRPCInferenceService"
STREAMED = ("ModelInfer", "ModelStreamInfer")
METHODS = {
    method.name: (method.input_type.name, method.output_type.name)
    for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    if method.name not in STREAMED
}
"""Method to the names of its messages."""
OK, INVALID = grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT
# The models come and go while this runs, so one may be known and not answer.
ALLOWED = {OK, INVALID, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNAVAILABLE}


@pytest.fixture(scope="module", params=["grpcio", "envoy"])
def server(request, tmp_path_factory) -> Iterator[ServingProcess]:
    folder = tmp_path_factory.mktemp("fuzz")
    publish(folder / "models", MODEL)
    flags = ("--transport", request.param, "--model-control", "explicit", "--load-model", MODEL)
    with serving(folder, folder / "models", *flags) as running:
        yield running


NAMES = st.one_of(
    st.just(MODEL),
    st.just(MODEL),
    st.sampled_from(["", "nobody", "../models/linear", "/", ".", "linear/1", "linear\0", "é" * 40]),
    st.text(max_size=8),
    # Longer than what fits into the metadata of an answer, where errors are told.
    st.builds(lambda char, count: char * count, st.sampled_from("a\n%ü"), st.sampled_from([300, 9_000, 70_000])),
)
VERSIONS = st.one_of(st.sampled_from(["", "1", "2", "01", "-1", "1.0", "²", "٣", "9" * 400]), st.text(max_size=4))
FIELDS = {"name": NAMES, "model_name": NAMES, "version": VERSIONS, "repository_name": NAMES, "ready": st.booleans()}
PARAMETERS = st.dictionaries(
    st.sampled_from(["config", "file:1/model.onnx", "unload_dependents", ""]),
    st.builds(pb.ModelRepositoryParameter, string_param=st.text(max_size=8)),
    max_size=2,
)


@st.composite
def messages(draw: st.DrawFn, kind: type[Message]) -> bytes:
    """A message of a kind with any values, perhaps damaged."""
    values = {}
    for field in kind.DESCRIPTOR.fields:
        if field.name == "parameters":
            # Mostly without: any is refused before anything else is looked at.
            values["parameters"] = draw(st.one_of(st.just({}), st.just({}), PARAMETERS))
        elif draw(st.booleans()) or field.name in ("name", "model_name"):
            values[field.name] = draw(FIELDS[field.name])
    # One repository without a name is all there is: seldom another, or nothing else is seen.
    if draw(st.integers(0, 4)):
        values.pop("repository_name", None)
    data = kind(**values).SerializeToString()
    place, piece = st.integers(0, len(data)), st.binary(max_size=4)
    damage = draw(st.sampled_from(["none", "none", "none", "insert", "cut", "append"]))
    if damage == "insert":
        at = draw(place)
        return data[:at] + draw(piece) + data[at:]
    if damage == "cut":
        return data[: draw(place)]
    return data + draw(piece) if damage == "append" else data


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("method", METHODS)
def test_no_request_of_any_method_is_an_internal_error_or_ends_the_server(server, method):
    request, answer = (getattr(pb, name) for name in METHODS[method])
    call = server.channel.unary_unary(f"{SERVICE}/{method}")
    seen = set()

    @settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(messages(request), messages(request), st.binary(max_size=40)))
    def fuzz(data: bytes) -> None:
        code, details = OK, ""
        try:
            answer.FromString(call(data, timeout=30))
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
        seen.add(code)
        try:
            request.FromString(data)
        except DecodeError:
            seen.add(DecodeError)
            assert code is INVALID, (code, details, data)
        else:
            assert code in ALLOWED, (code, details, data)
        assert code is OK or details, "an error that says nothing"

    fuzz()
    assert {OK, DecodeError} <= seen, seen
    server.stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name=MODEL), timeout=30)
    images = published.images(2)
    found = probabilities(server.stub.ModelInfer(infer_request(MODEL, images), timeout=30))
    np.testing.assert_allclose(found, published.linear(published.weights())(images), atol=1e-6)
    assert server.process.poll() is None
    assert "incident" not in server.log.read_text()
