"""The closed loop with Locust as its generator: a process with Locust in it measures, what it tells is kept."""

import asyncio
import io
import json
import sys
from contextlib import suppress
from typing import Any

import numpy as np

from core.errors import BakeoffError
from loadtests.sender import Sender
from loadtests.window import Window

MODULE = "loadtests.locust_child"


async def drive(sender: Sender, window: Window) -> None:
    """Runs `sender.spec` to its end.

    Raises:
        BakeoffError: Locust's process ended without a result; with the last line it wrote.
    """
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", MODULE, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        _record(await _measured(process, sender, window), sender)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _measured(process: asyncio.subprocess.Process, sender: Sender, window: Window) -> dict[str, Any]:
    """`loadtests.locust_child.Outcomes` as JSON has it."""
    spec = sender.spec
    await _started(process, sender)
    reading = asyncio.ensure_future(process.communicate())
    try:
        await window.wait("warm-up", spec.warmup_s)
        await window.wait("measure", spec.duration_s, reading.done)
        told, errors = await reading
    finally:
        reading.cancel()
    if not told:
        lines = errors.decode(errors="replace").strip().splitlines()
        raise BakeoffError(f"Locust ended without a result: {lines[-1] if lines else 'no output'}")
    found: dict[str, Any] = json.loads(told)
    return found


async def _started(process: asyncio.subprocess.Process, sender: Sender) -> None:
    """Hands over the test; returns when its users start, or the process has ended."""
    assert process.stdin
    assert process.stdout
    order = {
        "target": sender.client.target,
        "timeout_s": sender.client.timeout_s,
        "spec": sender.spec.model_dump(mode="json"),
    }
    images = io.BytesIO()
    np.save(images, sender.images, allow_pickle=False)
    with suppress(ConnectionError):
        process.stdin.write(json.dumps(order).encode() + b"\n" + images.getvalue())
        await process.stdin.drain()
    process.stdin.close()
    await process.stdout.readline()


def _record(outcomes: dict[str, Any], sender: Sender) -> None:
    recorder = sender.recorder
    recorder.open(outcomes["opened_ns"])
    recorder.close(outcomes["closed_ns"])
    for began_ns, ended_ns, images, server_ns, batch_size in outcomes["answered"]:
        recorder.success(began_ns, ended_ns, images, server_ns, batch_size)
    for began_ns, code in outcomes["failed"]:
        recorder.failure(began_ns, code)
    recorder.generator_cpu = outcomes["cpu"]
