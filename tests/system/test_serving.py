"""A running server: health, reflection, metrics, overload, cancellation, new versions under load."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from inference import grpc_service_pb2 as pb
from inference import grpc_service_pb2_grpc as pb_grpc

from tests.system.serving_process import (
    SERVICE,
    ServingProcess,
    infer_request,
    probabilities,
    publish,
    serving,
    wait_until,
)
from tests.unit.serving import published

pytestmark = pytest.mark.system
MODEL = "linear"
SERVING = health_pb2.HealthCheckResponse.SERVING
TRANSPORTS = ("grpcio", "envoy")


def expected(images: np.ndarray, seed: int = 0) -> np.ndarray:
    return published.linear(published.weights(seed))(images)


@pytest.fixture(scope="module", params=TRANSPORTS)
def server(tmp_path_factory, request) -> Iterator[ServingProcess]:
    folder = tmp_path_factory.mktemp("serving")
    publish(folder / "models", MODEL)
    with serving(folder, folder / "models", "--transport", request.param) as running:
        yield running


def test_typed_contents_are_answered_with_typed_contents(server):
    images = published.images(2)
    request = pb.ModelInferRequest(model_name=MODEL)
    given = request.inputs.add(name="image", datatype="UINT8", shape=images.shape)
    given.contents.uint_contents.extend(images.ravel().tolist())
    response = server.stub.ModelInfer(request)
    assert not response.raw_output_contents
    rows = np.reshape(response.outputs[0].contents.fp32_contents, (2, 3))
    np.testing.assert_allclose(rows, expected(images), atol=1e-6)


def test_health_knows_the_server_as_a_whole_and_its_service(server):
    assert server.health("") == server.health(SERVICE) == SERVING
    with pytest.raises(grpc.RpcError) as caught:
        server.health("nothing")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_describes_the_service_to_clients_without_its_files(server):
    database = ProtoReflectionDescriptorDatabase(server.channel)
    assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
    found = DescriptorPool(database).FindServiceByName(SERVICE)
    assert "ModelInfer" in {method.name for method in found.methods}


def test_prometheus_sees_what_was_answered(server):
    server.stub.ModelInfer(infer_request(MODEL, published.images(2)))
    lines = [line for line in server.metrics().splitlines() if line.startswith("nv_inference_request_success")]
    (count,) = [float(line.rsplit(" ", 1)[1]) for line in lines]
    assert count >= 1
    assert "bakeoff_inference_seconds_bucket" in server.metrics()


def test_an_unserved_rpc_of_the_protocol_is_unimplemented(server):
    call = server.channel.unary_unary(f"/{SERVICE}/TraceSetting")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_message_beyond_grpcs_own_limit_reaches_the_server(server):
    request = infer_request(MODEL, published.images(1))
    request.raw_input_contents[0] = bytes(8 << 20)
    with pytest.raises(grpc.RpcError) as caught:
        server.stub.ModelInfer(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "8388608 bytes, expected 30" in caught.value.details()


def test_clients_that_leave_do_not_disturb_those_that_stay(server):
    async def leaving(stub: pb_grpc.GRPCInferenceServiceStub, number: int) -> None:
        call = stub.ModelInfer(infer_request(MODEL, published.images(4, number)), timeout=0.001 * (1 + number % 5))
        if number % 2:
            await asyncio.sleep(0.0005)
            call.cancel()
        await asyncio.wait({asyncio.ensure_future(call.code())})

    async def staying(stub: pb_grpc.GRPCInferenceServiceStub, number: int) -> None:
        images = published.images(1 + number % 7, number)
        response = await stub.ModelInfer(infer_request(MODEL, images, id=str(number)), timeout=30)
        assert response.id == str(number)
        np.testing.assert_allclose(probabilities(response), expected(images), atol=1e-6)

    async def main() -> None:
        async with grpc.aio.insecure_channel(server.target) as channel:
            stub = pb_grpc.GRPCInferenceServiceStub(channel)
            calls = [(leaving if number % 3 else staying)(stub, number) for number in range(150)]
            await asyncio.gather(*calls)

    asyncio.run(main())
    (statistics,) = server.stub.ModelStatistics(pb.ModelStatisticsRequest(name=MODEL)).model_stats
    assert statistics.execution_count < statistics.inference_count
    assert f'bakeoff_inference_queued_images{{model="{MODEL}",version="1"}} 0.0' in server.metrics()


def test_a_cancelled_stream_leaves_the_server_working(server):
    images = published.images(1)

    async def main() -> None:
        async with grpc.aio.insecure_channel(server.target) as channel:
            call = pb_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer()
            for number in range(100):
                await call.write(infer_request(MODEL, images, id=str(number)))
            first = await call.read()
            assert first.infer_response.id == "0"
            call.cancel()
            await call.code()

    asyncio.run(main())
    np.testing.assert_allclose(
        probabilities(server.stub.ModelInfer(infer_request(MODEL, images))), expected(images), atol=1e-6
    )


def streamed(server: ServingProcess, requests, metadata=()) -> tuple[list[pb.ModelStreamInferResponse], grpc.RpcError]:
    """The answers of a stream, and how it ended: the call, or the error it raised."""
    call, answers = server.stub.ModelStreamInfer(iter(requests), timeout=30, metadata=metadata), []
    try:
        for answer in call:
            answers.append(answer)
    except grpc.RpcError as error:
        return answers, error
    return answers, call


GOOD, WRONG = infer_request(MODEL, published.images(2), id="good"), infer_request("nobody", published.images(1), id="w")


@pytest.mark.parametrize("metadata", [(), (("triton_grpc_error", "false"),)])
def test_an_error_in_a_stream_tells_its_code_and_the_stream_goes_on(server, metadata):
    (first, wrong, last), ended = streamed(server, [GOOD, WRONG, GOOD], metadata)
    assert ended.code() is grpc.StatusCode.OK
    assert (first.infer_response.id, last.infer_response.id) == ("good", "good")
    assert wrong.infer_response.id == "w"
    assert "no model 'nobody' is loaded" in wrong.error_message
    assert wrong.infer_response.parameters["grpc-code"].string_param == "NOT_FOUND"


def test_an_error_ends_the_stream_with_its_status_for_a_caller_who_asks_for_it(server):
    answers, ended = streamed(server, [GOOD, GOOD, WRONG, GOOD, WRONG], [("triton_grpc_error", "true")])
    assert [answer.infer_response.id for answer in answers] == ["good", "good"]
    assert ended.code() is grpc.StatusCode.NOT_FOUND
    assert "no model 'nobody' is loaded" in ended.details()
    # Behind Envoy a callback of pyvoy's may panic where requests still arrive as the call ends; that is logged, with no
    # line of ours in it, and the server goes on.
    assert "/services/" not in server.log.read_text()
    answers, _ = streamed(server, [GOOD])
    assert [answer.infer_response.id for answer in answers] == ["good"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_stream_that_a_full_queue_ends_tells_when_to_try_again(tmp_path, transport):
    publish(tmp_path / "models", MODEL)
    flags = ("--transport", transport, "--max-queue", "64", "--max-batch", "1", "--instances", "1")
    request = infer_request(MODEL, published.images(32))
    with serving(tmp_path, tmp_path / "models", *flags) as server:
        answers, ended = streamed(server, [request] * 300, [("triton_grpc_error", "true")])
        assert ended.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert int(dict(ended.trailing_metadata())["grpc-retry-pushback-ms"]) > 0
        assert len(answers) < 300
        server.stub.ModelInfer(request, timeout=30)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_edited_configuration_counts_without_a_restart(tmp_path, transport):
    publish(tmp_path / "models", MODEL)
    path = tmp_path / "models" / MODEL / "config.pbtxt"
    policy = "default_queue_policy { default_timeout_microseconds: 1 }"
    flags = ("--transport", transport, "--poll-s", "0.05", "--max-batch", "1", "--instances", "1")

    def code(stub: pb_grpc.GRPCInferenceServiceStub) -> grpc.StatusCode:
        call = stub.ModelInfer.future(infer_request(MODEL, published.images(1)), timeout=30)
        return call.code()

    with serving(tmp_path, tmp_path / "models", *flags) as server:
        assert code(server.stub) is grpc.StatusCode.OK
        path.write_text(path.read_text().replace("dynamic_batching { }", f"dynamic_batching {{ {policy} }}"))
        wait_until(lambda: code(server.stub) is grpc.StatusCode.DEADLINE_EXCEEDED)
        told = server.stub.ModelConfig(pb.ModelConfigRequest(name=MODEL)).config
        assert told.dynamic_batching.default_queue_policy.default_timeout_microseconds == 1
        assert f'nv_inference_request_failure{{model="{MODEL}",reason="REJECTED",version="1"}}' in server.metrics()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_full_queue_refuses_and_everything_accepted_is_answered(tmp_path, transport):
    publish(tmp_path / "models", MODEL)
    images = published.images(32)

    async def main(target: str) -> list[grpc.StatusCode]:
        async with grpc.aio.insecure_channel(target) as channel:
            stub = pb_grpc.GRPCInferenceServiceStub(channel)
            calls = [stub.ModelInfer(infer_request(MODEL, images), timeout=30) for _ in range(200)]
            return [await call.code() for call in calls]

    flags = ("--transport", transport, "--max-queue", "64", "--max-batch", "1", "--instances", "1")
    with serving(tmp_path, tmp_path / "models", *flags) as server:
        codes = asyncio.run(main(server.target))
        assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert (
            f'reason="REJECTED",version="1"}} {codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED)}.0' in server.metrics()
        )


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_thousands_of_calls_at_once_are_answered_or_refused_with_a_reason(tmp_path, transport):
    publish(tmp_path / "models", MODEL)
    images = published.images(32)

    async def main(target: str) -> tuple[Counter[grpc.StatusCode], set[str]]:
        codes: Counter[grpc.StatusCode] = Counter()
        reasons = set()
        # Without retries: what the server says is what is seen.
        async with grpc.aio.insecure_channel(target, options=[("grpc.enable_retries", 0)]) as channel:
            stub = pb_grpc.GRPCInferenceServiceStub(channel)
            calls = [stub.ModelInfer(infer_request(MODEL, images), timeout=60) for _ in range(5000)]
            for call in calls:
                codes[await call.code()] += 1
                if await call.code() is not grpc.StatusCode.OK:
                    reasons.add((await call.details()).split(":")[0])
        return codes, reasons

    flags = ("--transport", transport, "--max-queue", "64", "--max-batch", "1", "--instances", "1")
    with serving(tmp_path, tmp_path / "models", *flags) as server:
        codes, reasons = asyncio.run(main(server.target))
        assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
        # Behind Envoy most are refused before there is a question of a queue.
        expected = {f"the queue of model '{MODEL}' is full"}
        if transport == "envoy":
            expected.add("1024 calls are being answered (--max-in-flight); try again later")
        assert reasons
        assert reasons <= expected
        server.stub.ModelInfer(infer_request(MODEL, images), timeout=30)


def test_envoy_refuses_calls_beyond_the_limit_but_no_streams_and_no_health_checks(tmp_path):
    publish(tmp_path / "models", MODEL)
    request = infer_request(MODEL, published.images(32))
    refused = grpc.StatusCode.RESOURCE_EXHAUSTED
    flags = ("--transport", "envoy", "--max-in-flight", "2", "--max-batch", "1", "--instances", "1")
    with serving(tmp_path, tmp_path / "models", *flags) as server, grpc.insecure_channel(server.target) as channel:
        counter = "bakeoff_envoy_refused_calls_total"
        assert f"{counter} 0.0" in server.metrics()
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        with grpc.insecure_channel(server.target, options=[("grpc.enable_retries", 0)]) as once:
            infer = pb_grpc.GRPCInferenceServiceStub(once).ModelInfer
            calls = [infer.future(request, timeout=30) for _ in range(100)]
            assert stub.ServerReady(pb.ServerReadyRequest(), timeout=30).ready
            (answer,) = stub.ModelStreamInfer(iter([request]), timeout=30)
            assert not answer.error_message
            codes = Counter(call.code() for call in calls)
        assert set(codes) == {grpc.StatusCode.OK, refused}
        call = next(call for call in calls if call.code() is refused)
        assert call.details() == "2 calls are being answered (--max-in-flight); try again later"
        assert dict(call.trailing_metadata())["grpc-retry-pushback-ms"] == "100"
        assert f"{counter} {codes[refused]}.0" in server.metrics()
        stub.ModelInfer(request, timeout=30)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_new_version_takes_over_under_load_without_a_failed_request(tmp_path, transport):
    publish(tmp_path / "models", MODEL, seed=0)
    images = published.images(3)

    async def client(stub: pb_grpc.GRPCInferenceServiceStub, versions: set[str]) -> None:
        while "2" not in versions:
            response = await stub.ModelInfer(infer_request(MODEL, images), timeout=30)
            version = response.model_version
            np.testing.assert_allclose(probabilities(response), expected(images, int(version) - 1), atol=1e-6)
            versions.add(version)

    async def main(target: str) -> None:
        versions: set[str] = set()
        async with grpc.aio.insecure_channel(target) as channel:
            stub = pb_grpc.GRPCInferenceServiceStub(channel)
            clients = [asyncio.ensure_future(client(stub, versions)) for _ in range(4)]
            async with asyncio.timeout(30):
                while not versions:
                    await asyncio.sleep(0.01)
            await asyncio.to_thread(publish, tmp_path / "models", MODEL, 1)
            await asyncio.wait_for(asyncio.gather(*clients), 30)
        assert versions == {"1", "2"}

    with serving(tmp_path, tmp_path / "models", "--poll-s", "0.1", "--transport", transport) as server:
        asyncio.run(main(server.target))


def test_help_is_printed_without_loading_anything():
    done = subprocess.run(
        [sys.executable, "-m", "services.serving", "--help"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
    )
    assert done.returncode == 0
    assert "BAKEOFF_SERVING_REPOSITORY" in done.stdout


def test_a_log_as_json_names_request_and_model_of_a_refused_call(tmp_path):
    publish(tmp_path / "models", MODEL)
    flags = ("--log-format", "json", "--log-level", "DEBUG")
    with serving(tmp_path, tmp_path / "models", *flags) as server:
        wrong = published.images(2)[:, :1]
        with pytest.raises(grpc.RpcError):
            server.stub.ModelInfer(infer_request(MODEL, wrong, id="r-7"), timeout=10)
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line.get("request_id") == "r-7"]
    assert (line["model"], line["code"]) == (MODEL, "INVALID_ARGUMENT")
