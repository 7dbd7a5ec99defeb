import asyncio
import re
import time

import numpy as np
import pytest

from core.errors import DeadlineError, ExhaustedError, InvalidInputError, NotFoundError, NotReadyError
from services.serving.handler import classify
from services.serving.requests import InferRequest, OutputRequest, Tensor
from tests.unit.serving import published
from tests.unit.serving.serving import GATED, Server, publish


def request(images, *, model="m", version="", outputs=(), name="image", datatype="UINT8", deadline_ns=None):
    inputs = (Tensor(name, datatype, images),)
    return InferRequest(model, version, "id-1", inputs, outputs, time.monotonic_ns(), deadline_ns)


def serve(tmp_path, scenario):
    """Runs a scenario against a server that has model `m`."""
    publish(tmp_path, "m")

    async def main():
        server = Server(tmp_path, model_control="explicit", load_model=("m",))
        await server.control.start()
        try:
            return await scenario(server)
        finally:
            await server.close()

    return asyncio.run(asyncio.wait_for(main(), 20))


def refusal(tmp_path, given: InferRequest, kind=InvalidInputError) -> str:
    async def scenario(server):
        with pytest.raises(kind) as caught:
            await server.handler.infer(given)
        return str(caught.value)

    return serve(tmp_path, scenario)


def test_an_answer_has_id_version_probabilities_and_times_that_add_up(tmp_path):
    images = published.images(2)

    async def scenario(server):
        started = time.monotonic_ns()
        result = await server.handler.infer(request(images))
        return result, time.monotonic_ns() - started

    result, took = serve(tmp_path, scenario)
    expected = published.linear(published.weights())(images)
    np.testing.assert_array_equal(result.outputs[0].array, expected)
    assert (result.model, result.version, result.id) == ("m", 1, "id-1")
    timing = result.timing
    assert timing.batch_size == 2
    assert min(timing.queue_ns, timing.preprocess_ns, timing.infer_ns, timing.postprocess_ns) >= 0
    assert 0 < timing.queue_ns + timing.preprocess_ns + timing.infer_ns + timing.postprocess_ns <= took


def test_an_output_may_be_asked_for_twice_in_two_forms(tmp_path):
    outputs = (OutputRequest("probabilities"), OutputRequest("probabilities", 2))

    async def scenario(server):
        return await server.handler.infer(request(published.images(2), outputs=outputs))

    plain, best = serve(tmp_path, scenario).outputs
    assert plain.array.shape == (2, 3)
    assert (best.datatype, best.array.shape) == ("BYTES", (2, 2))


ONE = published.images(1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (request(ONE, name="pixels"), "takes one input, 'image'; got pixels"),
        (request(ONE.astype("f4"), datatype="FP32"), "is FP32, expected UINT8"),
        (request(ONE[:, :5]), r"shape \[1, 5, 5, 1\], expected \[1…64, 6, 5, 1\]"),
        (request(ONE[0]), r"shape \[6, 5, 1\]"),
        (request(ONE[:0]), "send at least one image"),
        (request(published.images(65)), "divide it into requests of at most 64"),
        (request(ONE, outputs=(OutputRequest("logits"),)), "no output 'logits'; it has 'probabilities'"),
        (request(ONE, version="new"), "'new' of model 'm' is not a number"),
        (request(ONE, version="9" * 5000), "of model 'm' is not a number of at most 18 digits"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_with_what_would(tmp_path, given, message):
    assert re.search(message, refusal(tmp_path, given))


def test_an_unknown_model_lists_the_loaded_ones(tmp_path):
    assert "no model 'other' is loaded; loaded: m" in refusal(
        tmp_path, request(published.images(1), model="other"), NotFoundError
    )


def test_a_version_that_is_not_loaded_lists_the_loaded_ones(tmp_path):
    assert "version 9 of model 'm' is not loaded; loaded: 1" in refusal(
        tmp_path, request(published.images(1), version="9"), NotFoundError
    )


def test_a_request_nobody_waits_for_is_refused_and_counted_as_cancelled(tmp_path):
    async def scenario(server):
        with pytest.raises(DeadlineError):
            await server.handler.infer(request(published.images(1), deadline_ns=1))
        return server.models.get("m").statistics

    statistics = serve(tmp_path, scenario)
    assert statistics.failures == {"CANCELED": 1}
    assert statistics.executions == 0


def test_statistics_count_requests_images_and_batches(tmp_path):
    async def scenario(server):
        await asyncio.gather(*(server.handler.infer(request(published.images(2))) for _ in range(4)))
        with pytest.raises(InvalidInputError):
            await server.handler.infer(request(published.images(0)))
        return server.models.get("m").statistics

    statistics = serve(tmp_path, scenario)
    assert (statistics.success.count, statistics.images, statistics.executions) == (4, 8, 1)
    assert statistics.batches[8].compute_infer.count == 1
    assert statistics.failures == {"OTHER": 1}
    assert all(phase.count == 4 for phase in statistics.phases.values())


def test_a_model_in_use_is_unloaded_after_its_last_request(tmp_path):
    async def scenario(server):
        server.gate.clear()
        asked = asyncio.ensure_future(server.handler.infer(request(published.images(GATED))))
        await asyncio.sleep(0.01)
        unloading = asyncio.ensure_future(server.control.unload("m"))
        await asyncio.sleep(0.01)
        assert server.models.states()["m"][1].name == "UNLOADING"
        with pytest.raises(NotReadyError, match="UNLOADING: unloaded"):
            await server.handler.infer(request(published.images(1)))
        server.gate.set()
        assert (await asked).version == 1
        await unloading
        assert server.models.states()["m"][1].name == "UNAVAILABLE"

    serve(tmp_path, scenario)


def test_the_best_classes_are_written_as_triton_writes_them():
    probabilities = np.array([[0.25, 0.5, 0.25]], np.float32)
    assert classify(probabilities, ("a", "b", "c:d"), 3).tolist() == [
        [b"0.500000:1:b", b"0.250000:0:a", b"0.250000:2:c:d"]
    ]


def test_a_full_queue_is_known_before_a_request_is_read_where_one_model_is_served(tmp_path):
    publish(tmp_path, "other")

    async def scenario(server):
        handler, queue = server.handler, server.settings.max_queue
        assert handler.refusal() is None
        server.gate.clear()
        # The first are taken by the instances, whose compute waits for the gate; the rest fills the queue.
        instances = server.models.get("m").config.policy.instances
        waiting = []
        for _ in range(instances):
            waiting.append(asyncio.ensure_future(handler.infer(request(published.images(GATED)))))
            await asyncio.sleep(0.01)
        while server.models.get("m").batcher.queued < queue:
            assert handler.refusal() is None
            waiting.append(asyncio.ensure_future(handler.infer(request(published.images(1)))))
            await asyncio.sleep(0)
        refused = handler.refusal()
        counted = server.models.get("m").statistics.failures.copy()
        await server.control.load("other")
        several = handler.refusal()
        server.gate.set()
        await asyncio.gather(*waiting)
        return refused, counted, several, handler.refusal()

    refused, counted, several, after = serve(tmp_path, scenario)
    assert isinstance(refused, ExhaustedError)
    assert "the queue of model 'm' is full" in str(refused)
    assert counted == {"REJECTED": 1}
    assert several is None
    assert after is None
