import asyncio
import time
from collections.abc import Awaitable, Callable

import prometheus_client
import pytest
from inference import grpc_service_pb2 as pb

from core.errors import InvalidInputError, NotFoundError
from services.serving.metrics import ServingCollector
from services.serving.requests import InferRequest, Tensor
from services.serving.wire import InferWire
from tests.unit.serving import published
from tests.unit.serving.serving import GATED, Server, publish

LABELS = '{model="m",version="1"}'
Samples = dict[str, str]


def request(count: int, **fields) -> InferRequest:
    inputs = (Tensor("image", "UINT8", published.images(count)),)
    return InferRequest("m", "", "", inputs, (), time.monotonic_ns(), **fields)


def scrape(server: Server) -> Samples:
    """Sample to value."""
    registry = prometheus_client.CollectorRegistry()
    registry.register(ServingCollector(server.models, server.handler))
    lines = prometheus_client.generate_latest(registry).decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def after(tmp_path, scenario: Callable[[Server], Awaitable[object]], **settings) -> Samples:
    """What is seen of model `m` after a scenario."""
    publish(tmp_path, "m")

    async def main() -> Samples:
        server = Server(tmp_path, model_control="none", **settings)
        await server.control.start()
        try:
            await scenario(server)
            return scrape(server)
        finally:
            await server.close()

    return asyncio.run(asyncio.wait_for(main(), 20))


def failures(samples: Samples, model: str = "m", version: str = "1") -> dict[str, float]:
    """Reason to failed requests."""
    start, end = f'nv_inference_request_failure{{model="{model}",reason="', f'",version="{version}"}}'
    found = {name: value for name, value in samples.items() if name.startswith(start) and name.endswith(end)}
    return {name.removeprefix(start).removesuffix(end): float(value) for name, value in found.items()}


@pytest.fixture
def scraped(tmp_path) -> Samples:
    """After two answered requests of three images in all and a refused one."""

    async def scenario(server: Server) -> None:
        for count in (1, 2):
            await server.handler.infer(request(count))
        with pytest.raises(InvalidInputError):
            await server.handler.infer(request(0))

    return after(tmp_path, scenario)


def test_counters_carry_tritons_names(scraped):
    assert scraped[f"nv_inference_request_success{LABELS}"] == "2.0"
    assert scraped[f"nv_inference_count{LABELS}"] == "3.0"
    assert scraped[f"nv_inference_exec_count{LABELS}"] == "2.0"
    assert failures(scraped) == {"REJECTED": 0, "CANCELED": 0, "BACKEND": 0, "OTHER": 1}


def test_every_phase_has_a_latency_histogram(scraped):
    for phase in ("queue", "preprocess", "infer", "postprocess", "request"):
        assert scraped[f'bakeoff_inference_seconds_count{{model="m",phase="{phase}",version="1"}}'] == "2.0"


def test_batch_sizes_are_a_histogram(scraped):
    assert scraped['bakeoff_inference_batch_images_bucket{le="1.0",model="m",version="1"}'] == "1.0"
    assert scraped['bakeoff_inference_batch_images_bucket{le="2.0",model="m",version="1"}'] == "2.0"
    assert scraped[f"bakeoff_inference_batch_images_sum{LABELS}"] == "3.0"


def test_what_waits_is_a_gauge_of_requests_and_one_of_images(tmp_path):
    async def scenario(server: Server) -> None:
        nonlocal waiting
        server.gate.clear()
        asked = [asyncio.ensure_future(server.handler.infer(request(GATED))) for _ in range(3)]
        await asyncio.sleep(0.02)
        waiting = scrape(server)
        server.gate.set()
        await asyncio.gather(*asked)

    waiting: Samples = {}
    done = after(tmp_path, scenario, instances=1, max_batch=GATED)
    assert waiting[f"nv_inference_pending_request_count{LABELS}"] == "2.0"
    assert waiting[f"bakeoff_inference_queued_images{LABELS}"] == str(2.0 * GATED)
    assert done[f"nv_inference_pending_request_count{LABELS}"] == "0.0"


def test_failures_are_told_apart_by_who_is_to_blame(tmp_path):
    async def scenario(server: Server) -> None:
        def broken(_images: object) -> None:
            raise RuntimeError("out of memory")

        batcher = server.models.get("m").batcher
        server.gate.clear()
        busy = asyncio.ensure_future(server.handler.infer(request(GATED)))
        await asyncio.sleep(0.02)
        left = asyncio.ensure_future(server.handler.infer(request(1)))
        waited = asyncio.ensure_future(server.handler.infer(request(1, timeout_us=1)))
        late = asyncio.ensure_future(server.handler.infer(request(1, deadline_ns=time.monotonic_ns())))
        await asyncio.sleep(0)
        filling = [asyncio.ensure_future(server.handler.infer(request(30))) for _ in range(3)]
        await asyncio.sleep(0)
        left.cancel()
        server.gate.set()
        await asyncio.gather(busy, left, waited, late, *filling, return_exceptions=True)
        batcher._predict = broken
        await asyncio.gather(server.handler.infer(request(1)), return_exceptions=True)

    found = failures(after(tmp_path, scenario, instances=1, max_batch=GATED, max_queue=64))
    # Of the three requests that fill the queue the last is refused; one waited too long.
    assert found == {"REJECTED": 2, "CANCELED": 2, "BACKEND": 1, "OTHER": 0}


def test_requests_that_cannot_be_read_are_counted_for_their_model_or_for_none(tmp_path):
    async def scenario(server: Server) -> None:
        wire = InferWire(server.handler)
        message = pb.ModelInferRequest(model_name="m", raw_input_contents=[b"x"])
        message.inputs.add(name="image", datatype="NONE", shape=[1])
        for version in ("", "1"):
            message.model_version = version
            with pytest.raises(InvalidInputError, match="unknown datatype"):
                await wire.infer(message.SerializeToString(), None)
        # Nobody loaded that could be blamed: another version, another model, no request at all.
        for model, version in (("m", "2"), ("nobody", "")):
            message.model_name, message.model_version = model, version
            with pytest.raises(InvalidInputError):
                await wire.infer(message.SerializeToString(), None)
        with pytest.raises(InvalidInputError, match="not a ModelInferRequest"):
            await wire.infer(b"\xff", None)
        with pytest.raises(NotFoundError):
            await server.handler.infer(InferRequest("nobody", "", "", (), (), 0))

    samples = after(tmp_path, scenario)
    assert failures(samples) == {"REJECTED": 0, "CANCELED": 0, "BACKEND": 0, "OTHER": 2}
    assert failures(samples, "", "") == {"OTHER": 4}
