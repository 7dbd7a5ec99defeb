"""A short soak: after many requests of every sort and several new versions a server holds about what it held before.

`make bench-soak` does the long one.
"""

import asyncio
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
from inference import grpc_service_pb2_grpc as pb_grpc

from tests.system.serving_process import ServingProcess, infer_request, probabilities, publish, serving
from tests.unit.serving import published

pytestmark = pytest.mark.system
MODEL, CALLERS, ROUNDS, SWAPS = "linear", 8, 15, 3
MIB = 1 << 20


def resident_mib(server: ServingProcess) -> float:
    return float(psutil.Process(server.answering_pid()).memory_info().rss) / MIB


async def caller(stub: pb_grpc.GRPCInferenceServiceStub, number: int) -> None:
    """Good requests alone and in streams, wrong ones, and some that are given up."""
    for turn in range(ROUNDS):
        images = published.images(1 + (number + turn) % 16, seed=turn)
        request = infer_request(MODEL, images)
        answer = await stub.ModelInfer(request, timeout=30)
        kernel = published.weights(int(answer.model_version))
        np.testing.assert_allclose(probabilities(answer), published.linear(kernel)(images), atol=1e-6)
        # A kind of request that was never seen: what is remembered of each has to be forgotten as well.
        odd = infer_request(MODEL, images, model_version=f"0{number}{turn}{id(images)}"[:18])
        for wrong in (odd, infer_request("nobody", images)):
            with pytest.raises(grpc.RpcError):
                await stub.ModelInfer(wrong, timeout=30)
        left = stub.ModelInfer(request, timeout=30)
        await asyncio.sleep(0)
        left.cancel()
        stream = stub.ModelStreamInfer(iter([request, wrong, request]), timeout=30)
        kinds = [bool(response.error_message) async for response in stream]
        assert kinds == [False, True, False]


async def load(server: ServingProcess, root: Path, first: int) -> None:
    """A part of the soak, with new versions from number `first` on; each has the weights of its number."""
    async with grpc.aio.insecure_channel(server.target) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        for version in range(first, first + SWAPS):
            callers = asyncio.gather(*(caller(stub, number) for number in range(CALLERS)))
            await asyncio.to_thread(publish, root, MODEL, version)
            await callers
            while (await stub.ModelInfer(infer_request(MODEL, published.images(1)))).model_version != str(version):
                await asyncio.sleep(0.02)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("transport", ["grpcio", "envoy"])
def test_memory_stays_where_the_first_part_of_a_soak_left_it(tmp_path, transport):
    root = tmp_path / "models"
    publish(root, MODEL, 1)
    with serving(tmp_path, root, "--poll-s", "0.1", "--transport", transport) as server:
        asyncio.run(load(server, root, 2))
        before = resident_mib(server)
        for part in (1, 2):
            asyncio.run(load(server, root, 2 + part * SWAPS))
        after = resident_mib(server)
        assert "incident" not in server.log.read_text()
        assert server.process.poll() is None
    assert after < 1.15 * before, f"{before:.0f} MiB after a third, {after:.0f} MiB in the end"
