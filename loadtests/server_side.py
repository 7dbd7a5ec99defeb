"""What the server counted while it was loaded: CPU time from its Prometheus page, batches from ModelStatistics."""

import asyncio
import re
import time
import urllib.request
from dataclasses import dataclass

from core.errors import BakeoffError
from core.schemas.results import ServerAccount
from services.client.aio_inference import AsyncInferenceClient
from services.client.tensors import ModelStatistics

CPU = re.compile(r"^process_cpu_seconds_total (\S+)", re.MULTILINE)
SCRAPE_S = 5.0


@dataclass(frozen=True)
class Reading:
    """The server's counters at one moment; None where it does not tell."""

    statistics: ModelStatistics | None
    cpu_s: float | None
    at: float
    """Seconds of a monotonic clock."""


async def read(client: AsyncInferenceClient, model: str, version: int, metrics: str | None) -> Reading:
    """Both counters. A server without one of them is no error: another product's has its own.

    Args:
        metrics: URL of the Prometheus page; None: do not ask.
    """
    try:
        statistics = await client.model_statistics(model, version)
    except BakeoffError:
        statistics = None
    cpu_s = await asyncio.to_thread(_cpu, metrics) if metrics else None
    return Reading(statistics, cpu_s, time.monotonic())


def account(before: Reading, after: Reading) -> ServerAccount | None:
    """What lay between two readings; None without statistics, or where the server started anew in between."""
    if before.statistics is None or after.statistics is None:
        return None
    images = after.statistics.images - before.statistics.images
    batches = after.statistics.batches - before.statistics.batches
    if images < 0 or batches < 0:
        return None
    known = before.cpu_s is not None and after.cpu_s is not None and after.cpu_s >= before.cpu_s
    cpu_s = after.cpu_s - before.cpu_s if known else None  # type: ignore[operator]
    return ServerAccount(images=images, batches=batches, cpu_s=cpu_s, seconds=after.at - before.at)


def phases_ms(before: Reading, after: Reading) -> dict[str, float]:
    """Mean milliseconds per request by phase between two readings; empty where the server does not tell."""
    if before.statistics is None or after.statistics is None:
        return {}
    requests = after.statistics.requests - before.statistics.requests
    if requests <= 0:
        return {}
    spent = {phase: ns - before.statistics.phase_ns.get(phase, 0) for phase, ns in after.statistics.phase_ns.items()}
    return {phase: ns / requests / 1e6 for phase, ns in sorted(spent.items())}


def _cpu(url: str) -> float | None:
    try:
        with urllib.request.urlopen(url, timeout=SCRAPE_S) as page:
            found = CPU.search(page.read().decode())
    except (OSError, ValueError):
        return None
    return float(found[1]) if found else None
