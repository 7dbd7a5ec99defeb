import asyncio
import time

import prometheus_client
import pytest

from core.errors import InvalidInputError
from services.serving.metrics import ServingCollector
from services.serving.requests import InferRequest, Tensor
from tests.unit.serving import published
from tests.unit.serving.serving import Server, publish

LABELS = '{model="m",version="1"}'


@pytest.fixture
def scraped(tmp_path) -> dict[str, str]:
    """Sample to value after two answered requests of three images in all and a refused one."""
    publish(tmp_path, "m")

    async def main() -> str:
        server = Server(tmp_path, model_control="none")
        await server.control.start()
        for count in (1, 2, 0):
            inputs = (Tensor("image", "UINT8", published.images(count)),)
            request = InferRequest("m", "", "", inputs, (), time.monotonic_ns())
            try:
                await server.handler.infer(request)
            except InvalidInputError:
                assert count == 0
        registry = prometheus_client.CollectorRegistry()
        registry.register(ServingCollector(server.models))
        text = prometheus_client.generate_latest(registry).decode()
        await server.close()
        return text

    lines = [line for line in asyncio.run(main()).splitlines() if not line.startswith("#")]
    return dict(line.rsplit(" ", 1) for line in lines)


def test_counters_carry_tritons_names(scraped):
    assert scraped[f"nv_inference_request_success{LABELS}"] == "2.0"
    assert scraped[f"nv_inference_count{LABELS}"] == "3.0"
    assert scraped[f"nv_inference_exec_count{LABELS}"] == "2.0"
    assert scraped['nv_inference_request_failure{model="m",reason="OTHER",version="1"}'] == "1.0"


def test_every_phase_has_a_latency_histogram(scraped):
    for phase in ("queue", "preprocess", "infer", "postprocess", "request"):
        assert scraped[f'bakeoff_inference_seconds_count{{model="m",phase="{phase}",version="1"}}'] == "2.0"


def test_batch_sizes_are_a_histogram(scraped):
    assert scraped['bakeoff_inference_batch_images_bucket{le="1.0",model="m",version="1"}'] == "1.0"
    assert scraped['bakeoff_inference_batch_images_bucket{le="2.0",model="m",version="1"}'] == "2.0"
    assert scraped[f"bakeoff_inference_batch_images_sum{LABELS}"] == "3.0"
