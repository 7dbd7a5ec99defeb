"""Both clients, against a real server: every test runs with the plain and with the asyncio one."""

import inspect
import time

import grpc
import numpy as np
import pytest
from inference import grpc_service_pb2 as pb
from PIL import Image

from core import errors, preprocess
from core.schemas.data import ImageSpec
from services.client.aio_inference import AsyncInferenceClient
from services.client.inference import InferenceClient
from services.client.tensors import IndexEntry, Tensor

IMAGES = np.zeros((2, 4, 4, 1), np.uint8)
SPEC = ImageSpec(height=4, width=4, color="grey")


def mean_pixels(request: pb.ModelInferRequest, _context: object) -> pb.ModelInferResponse:
    """'Probabilities' that tell the images apart: [mean pixel, 1] / 255."""
    images = np.frombuffer(request.raw_input_contents[0], np.uint8).reshape(tuple(request.inputs[0].shape))
    rows = np.stack([images.mean(axis=(1, 2, 3)) / 255, np.ones(len(images)) / 255], axis=1).astype("<f4")
    response = pb.ModelInferResponse(model_name=request.model_name, model_version=request.model_version or "9")
    response.outputs.add(name="probabilities", datatype="FP32", shape=rows.shape)
    response.raw_output_contents.append(rows.tobytes())
    response.parameters["infer_ns"].int64_param = 11
    response.parameters["batch_size"].int64_param = len(images)
    return response


def configuration(request: pb.ModelConfigRequest, _context: object) -> pb.ModelConfigResponse:
    response = pb.ModelConfigResponse()
    response.config.name = request.name
    response.config.parameters["bakeoff.preprocess"].string_value = SPEC.model_dump_json()
    return response


class Failing:
    """Aborts the first `times` calls, then answers."""

    def __init__(self, code, times, answer):
        self.code, self.times, self.answer, self.calls = code, times, answer, 0

    def __call__(self, request, context):
        self.calls += 1
        if self.calls <= self.times:
            context.abort(self.code, "the queue holds 64 of 64 requests; send fewer")
        return self.answer(request, context)


def test_predict_returns_the_servers_probabilities_and_timings(serve, call):
    found = call(serve(ModelInfer=mean_pixels), "predict", "m", IMAGES + np.uint8(51), version=4)
    assert np.allclose(found.probabilities, [[0.2, 1 / 255]] * 2)
    assert (found.server_ns, found.batch_size, found.model_version) == ({"infer": 11}, 2, "4")


def test_a_batch_beyond_grpcs_own_limit_of_four_mebibytes_passes(serve, call):
    found = call(serve(ModelInfer=mean_pixels), "predict", "m", np.full((6, 1024, 1024, 1), 255, np.uint8))
    assert np.allclose(found.probabilities[:, 0], 1)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidInputError),
        (grpc.StatusCode.NOT_FOUND, errors.NotFoundError),
        (grpc.StatusCode.UNAVAILABLE, errors.NotReadyError),
        (grpc.StatusCode.FAILED_PRECONDITION, errors.WrongStateError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.ExhaustedError),
        (grpc.StatusCode.INTERNAL, errors.BakeoffError),
    ],
)
def test_a_failed_call_raises_the_domain_error_with_the_servers_message(serve, call, code, kind):
    target = serve(ModelInfer=Failing(code, 9, mean_pixels))
    with pytest.raises(kind, match="the queue holds 64 of 64") as caught:
        call(target, "predict", "m", IMAGES, client={"attempts": 1})
    assert isinstance(caught.value.__cause__, grpc.RpcError)


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED]
)
def test_a_refused_prediction_is_tried_again_until_it_is_answered(serve, call, code):
    method = Failing(code, 2, mean_pixels)
    assert call(serve(ModelInfer=method), "predict", "m", IMAGES).batch_size == 2
    assert method.calls == 3


def test_a_single_attempt_never_repeats(serve, call):
    method = Failing(grpc.StatusCode.UNAVAILABLE, 1, mean_pixels)
    with pytest.raises(errors.NotReadyError):
        call(serve(ModelInfer=method), "predict", "m", IMAGES, client={"attempts": 1})
    assert method.calls == 1


@pytest.mark.parametrize("name", ["load_model", "unload_model"])
def test_model_control_is_never_repeated(serve, call, name):
    method = Failing(grpc.StatusCode.UNAVAILABLE, 1, lambda *_: pb.RepositoryModelLoadResponse())
    with pytest.raises(errors.NotReadyError):
        call(serve(RepositoryModelLoad=method, RepositoryModelUnload=method), name, "m")
    assert method.calls == 1


def test_bad_input_is_not_repeated(serve, call):
    method = Failing(grpc.StatusCode.INVALID_ARGUMENT, 9, mean_pixels)
    with pytest.raises(errors.InvalidInputError):
        call(serve(ModelInfer=method), "predict", "m", IMAGES)
    assert method.calls == 1


def test_a_call_past_its_deadline_names_target_and_patience(serve, call):
    target = serve(ModelInfer=lambda *_: time.sleep(0.3) or pb.ModelInferResponse())
    with pytest.raises(errors.DeadlineError, match=f"{target} did not answer within 0.05 s"):
        call(target, "predict", "m", IMAGES, client={"timeout_s": 0.05})


def test_a_server_that_is_not_there_is_neither_live_nor_ready(free_target, call):
    for method in ("is_live", "is_ready"):
        assert call(free_target, method) is False
    assert call(free_target, "model_ready", "m") is False


def test_predicting_where_nobody_listens_names_the_target(free_target, call):
    with pytest.raises(errors.NotReadyError, match=free_target):
        call(free_target, "predict", "m", IMAGES, client={"attempts": 1})


def test_probes_return_what_the_server_says(serve, call):
    target = serve(
        ServerLive=lambda *_: pb.ServerLiveResponse(live=True),
        ServerReady=lambda *_: pb.ServerReadyResponse(ready=False),
        ModelReady=lambda request, _: pb.ModelReadyResponse(ready=request.name == "m" and request.version == "2"),
    )
    assert call(target, "is_live") is True
    assert call(target, "is_ready") is False
    assert call(target, "model_ready", "m", 2) is True
    assert call(target, "model_ready", "m", 1) is False


def test_a_model_the_server_does_not_know_is_not_ready(serve, call):
    target = serve(ModelReady=lambda _, context: context.abort(grpc.StatusCode.NOT_FOUND, "no model 'm'"))
    assert call(target, "model_ready", "m") is False


def test_metadata_and_index_come_as_plain_values(serve, call):
    metadata = pb.ModelMetadataResponse(name="m", versions=["1", "2"], platform="onnxruntime_onnx")
    metadata.inputs.add(name="image", datatype="UINT8", shape=(-1, 4, 4, 1))
    index = pb.RepositoryIndexResponse()
    index.models.add(name="m", version="2", state="READY")
    target = serve(ModelMetadata=lambda *_: metadata, RepositoryIndex=lambda *_: index)
    found = call(target, "model_metadata", "m")
    assert (found.versions, found.inputs) == (("1", "2"), (Tensor("image", "UINT8", (-1, 4, 4, 1)),))
    assert call(target, "repository_index") == [IndexEntry("m", "2", "READY", "")]


def test_files_are_decoded_as_the_models_training_data_was(serve, call, tmp_path):
    paths = []
    for index in range(5):
        pixels = np.random.default_rng(index).integers(0, 256, (9, 7, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        paths.append(tmp_path / f"{index}.png")
    target = serve(ModelInfer=mean_pixels, ModelConfig=configuration)
    found = call(target, "predict_files", "m", paths, batch_size=2)
    expected = [preprocess.decode(path, SPEC).mean() / 255 for path in paths]
    assert np.allclose(found.probabilities[:, 0], expected)
    assert found.server_ns == {"infer": 33}


def test_a_file_that_is_no_image_is_named(serve, call, tmp_path):
    (tmp_path / "notes.png").write_text("not an image")
    with pytest.raises(errors.InvalidInputError, match=r"notes\.png cannot be decoded"):
        call(serve(ModelConfig=configuration), "predict_files", "m", [tmp_path / "notes.png"])


def test_no_files_to_predict_is_an_error(serve, call):
    with pytest.raises(errors.InvalidInputError, match="0 files"):
        call(serve(ModelConfig=configuration), "predict_files", "m", [])


def test_both_clients_offer_the_same_methods_with_the_same_parameters():
    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(f).parameters) for name, f in found if not name.startswith("__a")}

    plain, aio = methods(InferenceClient), methods(AsyncInferenceClient)
    plain = {name: parameters for name, parameters in plain.items() if name not in ("__enter__", "__exit__")}
    assert plain == aio
