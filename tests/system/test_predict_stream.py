"""Predictions over one stream: both clients against servers of both transports."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest

from core.errors import DeadlineError, ExhaustedError, InvalidInputError, NotFoundError, NotReadyError
from services.client.aio_inference import AsyncInferenceClient
from services.client.inference import InferenceClient
from services.client.tensors import Prediction
from tests.system.serving_process import ServingProcess, publish, serving
from tests.unit.serving import published

pytestmark = pytest.mark.system
MODEL = "linear"
Stream = Callable[..., list[Any]]


@pytest.fixture(scope="module", params=["grpcio", "envoy"])
def server(request, tmp_path_factory) -> Iterator[ServingProcess]:
    folder = tmp_path_factory.mktemp("stream")
    publish(folder / "models", MODEL)
    with serving(folder, folder / "models", "--transport", request.param) as running:
        yield running


@pytest.fixture(params=["sync", "asyncio"])
def stream(request) -> Stream:
    """The answers of a stream, `most` at most; then it is closed. `seen` is called with each."""

    def sync(
        target: str, batches, most=None, seen=lambda answer: None, model=MODEL, attempts=4, **keywords
    ) -> list[Any]:
        with InferenceClient(target, attempts=attempts) as client:
            answers: list[Any] = []
            with contextlib.closing(client.predict_stream(model, batches, **keywords)) as found:
                for answer in found:
                    seen(answer)
                    answers.append(answer)
                    if len(answers) == most:
                        break
            assert client.predict(MODEL, published.images(1)).probabilities.shape[0] == 1
            return answers

    async def awaited(target, batches, most, seen, model, attempts, keywords) -> list[Any]:
        async with AsyncInferenceClient(target, attempts=attempts) as client:
            answers: list[Any] = []
            async with contextlib.aclosing(client.predict_stream(model, batches, **keywords)) as found:
                async for answer in found:
                    seen(answer)
                    answers.append(answer)
                    if len(answers) == most:
                        break
            assert (await client.predict(MODEL, published.images(1))).probabilities.shape[0] == 1
            return answers

    def aio(
        target: str, batches, most=None, seen=lambda answer: None, model=MODEL, attempts=4, **keywords
    ) -> list[Any]:
        return asyncio.run(awaited(target, batches, most, seen, model, attempts, keywords))

    return sync if request.param == "sync" else aio


def expected(images: np.ndarray) -> np.ndarray:
    return published.linear(published.weights())(images)


def test_every_batch_is_answered_in_its_place_and_few_are_taken_ahead(server, stream):
    batches = [published.images(1 + number % 5, seed=number) for number in range(300)]
    taken, ahead, given = count(), [], count()
    now = [0, 0]

    def each() -> Iterator[np.ndarray]:
        for images in batches:
            now[0] = next(taken) + 1
            ahead.append(now[0] - now[1])
            yield images

    def seen(_answer) -> None:
        now[1] = next(given)

    answers = stream(server.target, each(), seen=seen, in_flight=7)
    for images, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(answer.probabilities, expected(images), atol=1e-6)
        assert answer.server_ns["infer"] > 0
    assert 1 < max(ahead) <= 8


def test_a_batch_that_fails_does_so_alone(server, stream):
    good, wrong = published.images(2), np.zeros((1, 3, 3, 1), np.uint8)
    first, second, third = stream(server.target, [good, wrong, good])
    assert type(second) is InvalidInputError
    assert "has shape [1, 3, 3, 1], expected" in str(second)
    for answer in (first, third):
        np.testing.assert_allclose(answer.probabilities, expected(good), atol=1e-6)


def test_a_model_nobody_knows_is_told_with_each_batch(server, stream):
    answers = stream(server.target, [published.images(1)] * 2, model="nobody")
    assert ["no model 'nobody' is loaded" in str(answer) for answer in answers] == [True, True]
    assert [type(answer) for answer in answers] == [NotFoundError, NotFoundError]


def test_a_stream_of_nothing_has_no_answers(server, stream):
    assert stream(server.target, []) == []


def test_closing_a_stream_without_an_end_takes_no_more_batches(server, stream):
    taken = []

    def endless() -> Iterator[np.ndarray]:
        for number in count():
            taken.append(number)
            yield published.images(1)

    answers = stream(server.target, endless(), most=5, in_flight=4)
    assert [type(answer) for answer in answers] == [Prediction] * 5
    assert len(taken) <= 5 + 4


def test_what_cannot_be_sent_is_raised_after_the_answers_before_it(server, stream):
    answers: list[Any] = []
    floats = np.zeros((1, *published.SHAPE), np.float32)
    with pytest.raises(InvalidInputError, match="images are float32"):
        stream(server.target, [published.images(1), floats, published.images(1)], seen=answers.append)
    assert [type(answer) for answer in answers] == [Prediction]
    with pytest.raises(InvalidInputError, match="in_flight is 0"):
        stream(server.target, [], in_flight=0)


def test_a_stream_that_takes_too_long_ends_with_its_deadline(server, stream):
    def endless() -> Iterator[np.ndarray]:
        while True:
            yield published.images(1)

    with pytest.raises(DeadlineError, match=r"did not answer within 0\.5 s"):
        stream(server.target, endless(), timeout_s=0.5)


@pytest.mark.parametrize("transport", ["grpcio", "envoy"])
def test_a_server_that_is_killed_ends_the_stream_with_an_error(tmp_path, stream, transport):
    publish(tmp_path / "models", MODEL)
    answers: list[Any] = []

    with serving(tmp_path, tmp_path / "models", "--transport", transport) as running:

        def seen(answer) -> None:
            answers.append(answer)
            if len(answers) == 20:
                os.kill(running.answering_pid(), signal.SIGKILL)
                running.process.wait(10)

        def endless() -> Iterator[np.ndarray]:
            while True:
                yield published.images(1)

        with pytest.raises(NotReadyError, match="is not available"):
            stream(running.target, endless(), seen=seen, in_flight=4)
    assert len(answers) >= 20


@pytest.mark.parametrize("transport", ["grpcio", "envoy"])
def test_a_full_queue_refuses_batches_with_a_hint_and_those_who_heed_it_are_answered(tmp_path, stream, transport):
    publish(tmp_path / "models", MODEL)
    batches = [published.images(32, seed=number) for number in range(150)]
    flags = ("--transport", transport, "--max-queue", "64", "--max-batch", "1", "--instances", "1")
    with serving(tmp_path, tmp_path / "models", *flags) as server:
        once = stream(server.target, batches, in_flight=40, attempts=1)
        patient = stream(server.target, batches, in_flight=3, attempts=5)
    refused = [answer for answer in once if isinstance(answer, ExhaustedError)]
    assert refused
    assert all(answer.retry_after_s > 0 for answer in refused)
    assert {type(answer) for answer in once} == {ExhaustedError, Prediction}
    for answers in (once, patient):
        for images, answer in zip(batches, answers, strict=True):
            if isinstance(answer, Prediction):
                np.testing.assert_allclose(answer.probabilities, expected(images), atol=1e-6)
    assert {type(answer) for answer in patient} == {Prediction}
