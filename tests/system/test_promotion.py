"""`bakeoff promote` and `rollback` under a running production server: it follows, and no request fails."""

import asyncio
import json
from pathlib import Path

import grpc
import numpy as np
import pytest
from inference import grpc_service_pb2_grpc as pb_grpc

from tests.system.bakeoff_command import Bakeoff
from tests.system.serving_process import infer_request, probabilities, publish, serving
from tests.unit.serving import published

pytestmark = pytest.mark.system
NAME = "digits"
SEED_OF_VERSION = {"1": 0, "2": 1, "3": 0}
"""The third version is a rollback to the first."""


async def client(stub: pb_grpc.GRPCInferenceServiceStub, seen: list[str], done: asyncio.Event) -> int:
    """Asks without pause; every answer must be that of the version it names."""
    images, answers = published.images(3), 0
    while not done.is_set():
        response = await stub.ModelInfer(infer_request(NAME, images), timeout=30)
        version = response.model_version
        expected = published.linear(published.weights(SEED_OF_VERSION[version]))(images)
        np.testing.assert_allclose(probabilities(response), expected, atol=1e-6)
        answers += 1
        if version not in seen:
            seen.append(version)
    return answers


async def until_seen(seen: list[str], version: str, clients: list["asyncio.Task[int]"]) -> None:
    async with asyncio.timeout(30):
        while version not in seen and not any(one.done() for one in clients):
            await asyncio.sleep(0.02)


def test_production_follows_promotions_and_a_rollback_without_a_failed_request(tmp_path: Path) -> None:
    bakeoff = Bakeoff(tmp_path / "home")
    for seed in range(2):
        publish(tmp_path / "home/models", f"candidate-{seed}", seed)

    def do(*arguments: str) -> None:
        ended = bakeoff.run(*arguments)
        assert ended.code == 0, ended.err

    async def main(target: str) -> None:
        seen: list[str] = []
        done = asyncio.Event()
        async with grpc.aio.insecure_channel(target) as channel:
            stub = pb_grpc.GRPCInferenceServiceStub(channel)
            clients = [asyncio.ensure_future(client(stub, seen, done)) for _ in range(4)]
            await until_seen(seen, "1", clients)
            await asyncio.to_thread(do, "promote", "candidate-1", "--as", NAME)
            await until_seen(seen, "2", clients)
            await asyncio.to_thread(do, "rollback", NAME)
            await until_seen(seen, "3", clients)
            done.set()
            answers = await asyncio.gather(*clients)
        assert seen == ["1", "2", "3"]
        assert min(answers) > 10

    do("promote", "candidate-0", "--as", NAME)
    with serving(tmp_path, tmp_path / "home/production", "--poll-s", "0.1") as server:
        asyncio.run(main(server.target))
    rows = json.loads(bakeoff.run("models", "--production", "--format", "json").out)
    assert [(row["version"], row["origin"]) for row in rows] == [
        (1, "promote candidate-0 1"),
        (2, "promote candidate-1 1"),
        (3, "rollback digits 1"),
    ]
    ended = bakeoff.run("promote", "nobody", "--as", NAME)
    assert (ended.code, "no model 'nobody'" in ended.err) == (3, True)
