"""A server in this process whose models come and go."""

import asyncio
import time

from services.serving.requests import InferRequest, Tensor
from tests.unit.serving import published
from tests.unit.serving.serving import Server

POLL_S = 0.02


def run(tmp_path, scenario, **settings):
    async def main():
        server = Server(tmp_path, **settings)
        try:
            return await scenario(server)
        finally:
            await server.close()

    return asyncio.run(asyncio.wait_for(main(), 20))


async def infer(server, count=1, model="m", version=""):
    inputs = (Tensor("image", "UINT8", published.images(count)),)
    return await server.handler.infer(InferRequest(model, version, "", inputs, (), time.monotonic_ns()))


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


def state(server, name="m", version=1):
    known = server.models.states().get(name, {}).get(version)
    return (known.name, known.reason) if known else ("", "")
