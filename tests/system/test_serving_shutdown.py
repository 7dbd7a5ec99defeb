"""How a running server ends: signals under load, kills, what keeps it from starting."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from inference import grpc_service_pb2 as pb
from inference import grpc_service_pb2_grpc as pb_grpc

from core.errors import BakeoffError
from services.client.inference import InferenceClient
from tests.system.serving_process import (
    SERVICE,
    ServingProcess,
    infer_request,
    launched,
    publish,
    serving,
    wait_until,
)
from tests.unit.serving import published

pytestmark = pytest.mark.system
MODEL = "linear"
TRANSPORTS = ("grpcio", "envoy")
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def expected(images: np.ndarray, seed: int = 0) -> np.ndarray:
    return published.linear(published.weights(seed))(images)


@pytest.mark.parametrize(
    ("transport", "number"), [("grpcio", signal.SIGTERM), ("grpcio", signal.SIGINT), ("envoy", signal.SIGTERM)]
)
def test_a_signal_under_load_fails_no_request_of_clients_that_heed_health(tmp_path, transport, number):
    publish(tmp_path / "models", MODEL)
    images = published.images(2)
    draining = asyncio.Event()
    answered = 0

    async def client(stub: pb_grpc.GRPCInferenceServiceStub) -> None:
        nonlocal answered
        while not draining.is_set():
            await stub.ModelInfer(infer_request(MODEL, images), timeout=30)
            answered += 1

    async def watch(channel: grpc.aio.Channel) -> None:
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        async for response in health_pb2_grpc.HealthStub(channel).Watch(request):
            if response.status == NOT_SERVING:
                draining.set()
                return

    async def main(server: ServingProcess) -> None:
        async with grpc.aio.insecure_channel(server.target) as channel:
            stub = pb_grpc.GRPCInferenceServiceStub(channel)
            work = [asyncio.ensure_future(client(stub)) for _ in range(8)]
            watcher = asyncio.ensure_future(watch(channel))
            async with asyncio.timeout(30):
                while answered <= 8:
                    await asyncio.sleep(0.01)
            server.process.send_signal(number)
            await asyncio.wait_for(asyncio.gather(*work, watcher), 20)

    with serving(tmp_path, tmp_path / "models", "--transport", transport) as server:
        asyncio.run(main(server))
        assert server.process.wait(20) == 0
        assert answered > 8
        assert "Traceback" not in server.log.read_text()


def test_our_client_loses_no_request_to_a_replica_that_shuts_down_under_it(tmp_path):
    """Without a quiet drain gRPC resets calls that arrive during the shutdown: the client has to repeat them."""
    publish(tmp_path / "models", MODEL)
    images, answered, failed, done = published.images(2), [0] * 8, list[str](), threading.Event()
    with contextlib.ExitStack() as stack:
        folders = [tmp_path / name for name in ("one", "two")]
        for folder in folders:
            folder.mkdir()
        one, two = (stack.enter_context(serving(folder, tmp_path / "models", "--quiet-s", "0")) for folder in folders)
        client = stack.enter_context(InferenceClient(f"ipv4:{one.target},{two.target}", timeout_s=20))

        def call(number: int) -> None:
            while not done.is_set():
                try:
                    client.predict(MODEL, images)
                    answered[number] += 1
                except BakeoffError as error:
                    failed.append(repr(error))

        callers = [threading.Thread(target=call, args=(number,)) for number in range(len(answered))]
        for caller in callers:
            caller.start()
        try:
            time.sleep(0.5)
            assert two.stop() == 0
            before = sum(answered)
            time.sleep(0.3)
        finally:
            done.set()
            for caller in callers:
                caller.join()
    assert not failed
    assert sum(answered) > before > 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_our_client_loses_no_request_to_a_replica_that_is_killed_under_it(tmp_path, transport):
    publish(tmp_path / "models", MODEL)
    answered, problems, done = [0] * 8, list[str](), threading.Event()
    with contextlib.ExitStack() as stack:
        folders = [tmp_path / name for name in ("one", "two")]
        for folder in folders:
            folder.mkdir()
        flags = ("--transport", transport)
        one, two = (stack.enter_context(serving(folder, tmp_path / "models", *flags)) for folder in folders)
        client = stack.enter_context(InferenceClient(f"ipv4:{one.target},{two.target}", timeout_s=20))

        def call(number: int) -> None:
            images = published.images(2, seed=number)
            while not done.is_set():
                try:
                    found = client.predict(MODEL, images).probabilities
                except BakeoffError as error:
                    problems.append(repr(error))
                    continue
                answered[number] += 1
                if not np.allclose(found, expected(images), atol=1e-6):
                    problems.append(f"caller {number} got another's answer")

        callers = [threading.Thread(target=call, args=(number,)) for number in range(len(answered))]
        for caller in callers:
            caller.start()
        try:
            wait_until(lambda: asked(two) > 20)
            os.kill(two.answering_pid(), signal.SIGKILL)
            two.process.wait(10)
            before = list(answered)
            wait_until(lambda: all(now > then + 5 for now, then in zip(answered, before, strict=True)))
        finally:
            done.set()
            for caller in callers:
                caller.join()
        assert one.process.poll() is None
    assert not problems


def asked(server: ServingProcess) -> int:
    (found,) = server.stub.ModelStatistics(pb.ModelStatisticsRequest(name=MODEL), timeout=10).model_stats
    return int(found.inference_count)


def test_a_server_whose_envoy_is_killed_ends_and_says_so(tmp_path):
    publish(tmp_path / "models", MODEL)
    with serving(tmp_path, tmp_path / "models", "--transport", "envoy") as server:
        os.kill(server.answering_pid(), signal.SIGKILL)
        assert server.process.wait(10) == 1
        log = server.log.read_text()
        assert "serving-onnxruntime ends: Envoy was ended by SIGKILL" in log
        assert "Traceback" not in log


def test_a_drain_ends_at_once_when_envoy_is_killed_in_it(tmp_path):
    publish(tmp_path / "models", MODEL)
    flags = ("--transport", "envoy", "--drain-s", "600", "--quiet-s", "600")
    with serving(tmp_path, tmp_path / "models", *flags) as server:
        envoy = server.answering_pid()
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "drains" in server.log.read_text())
        os.kill(envoy, signal.SIGKILL)
        assert server.process.wait(20) == 1
        assert "Envoy was ended by SIGKILL" in server.log.read_text()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_model_that_must_be_there_at_start_but_is_wrong_ends_the_process_with_the_reason(tmp_path, transport):
    publish(tmp_path / "models", MODEL)
    (tmp_path / "models" / MODEL / "1/model.onnx").write_bytes(b"damaged")
    flags = ["--runtime", "onnxruntime", "--repository", str(tmp_path / "models")]
    flags += ["--model-control", "explicit", "--load-model", MODEL, "--transport", transport]
    with launched(tmp_path, *flags) as (process, _, log):
        assert process.wait(60) == 1
    assert "the file was changed or damaged" in log.read_text()
    assert "Traceback" not in log.read_text()


def stops_answering(server: ServingProcess) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            server.health(SERVICE)
        except grpc.RpcError:
            return True
        time.sleep(0.05)
    return False


def test_envoy_ends_with_the_process_that_started_it(tmp_path):
    publish(tmp_path / "models", MODEL)
    with serving(tmp_path, tmp_path / "models", "--transport", "envoy") as server:
        server.process.kill()
        server.process.wait(10)
        assert stops_answering(server)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_port_that_is_taken_ends_the_process_and_is_named(tmp_path, transport):
    publish(tmp_path / "models", MODEL)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        flags = ["--runtime", "onnxruntime", "--repository", str(tmp_path / "models"), "--transport", transport]
        port = taken.getsockname()[1]
        with launched(tmp_path, *flags, "--port", str(port)) as (process, _, log):
            assert process.wait(60) == 1
    assert f"127.0.0.1:{port} cannot be used" in log.read_text()


def test_an_idle_server_stops_at_once(tmp_path):
    publish(tmp_path / "models", MODEL)
    with serving(tmp_path, tmp_path / "models", "--quiet-s", "0") as server:
        assert server.stop() == 0
