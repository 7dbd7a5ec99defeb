"""Goodput when more is asked than a server can do: Poisson arrivals, refusals counted, latency of what was accepted.

    python -m tools.bench.overload TARGET RATE SECONDS SEED <REQUEST

perf_analyzer ends at the first refusal, so this is a small generator of its own, in a process of its own: what it sends
too much costs as much CPU as what is answered, so server and generator get cores of their own.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field

import grpc
import numpy as np
from inference import grpc_service_pb2 as pb

from core.repository import ModelRepository
from tools.bench.servers import Cores, Server, on
from tools.venvs import ROOT

TIMEOUT_S = 2.0
METHOD = "/inference.GRPCInferenceService/ModelInfer"


@dataclass
class Goodput:
    """What became of the requests."""

    asked_per_s: float
    sent_per_s: float = 0.0
    answered_per_s: float = 0.0
    """While requests were sent; what was queued then and is answered later does not count."""
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    """Of answered requests, from the moment they were due."""
    codes: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def overload(
    server: Server, repository: ModelRepository, model: str, rate: float, seconds: float, seed: int, cores: Cores = ()
) -> Goodput:
    """Sends `rate` requests per second for `seconds`, at random times, from a process on `cores`."""
    command = [*on(cores), sys.executable, "-m", "tools.bench.overload"]
    command += [server.target, str(rate), str(seconds), str(seed)]
    done = subprocess.run(command, cwd=ROOT, input=_request(repository, model), capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr.decode()[-2000:]}")
    return Goodput(**json.loads(done.stdout))


async def _overload(target: str, data: bytes, rate: float, seconds: float, seed: int) -> Goodput:
    codes: Counter[str] = Counter()
    ends: list[float] = []
    times: list[float] = []
    running: set[asyncio.Task[None]] = set()

    async def one(call: grpc.aio.UnaryUnaryMultiCallable, due: float) -> None:
        try:
            await call(data, timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            codes[error.code().name] += 1
        else:
            codes["OK"] += 1
            ends.append(time.perf_counter())
            times.append(ends[-1] - due)

    async with grpc.aio.insecure_channel(target) as channel:
        call = channel.unary_unary(METHOD)
        await call(data, timeout=TIMEOUT_S)
        gaps = np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds))
        started = time.perf_counter()
        for due in started + np.cumsum(gaps):
            # Late or not, what was sent must go out now: else a late generator sends everything in one burst.
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.ensure_future(one(call, due))
            running.add(task)
            task.add_done_callback(running.discard)
        ended = time.perf_counter()
        await asyncio.gather(*running)
    p50, p99 = 1000 * np.percentile(times, [50, 99]) if times else (0.0, 0.0)
    took, answered = ended - started, sum(end <= ended for end in ends)
    return Goodput(rate, len(gaps) / took, answered / took, float(p50), float(p99), dict(codes))


def _request(repository: ModelRepository, model: str) -> bytes:
    image = np.load(repository.path(model, 1) / "golden/images.npy")[:1]
    message = pb.ModelInferRequest(model_name=model, raw_input_contents=[image.tobytes()])
    message.inputs.add(name="image", datatype="UINT8", shape=image.shape)
    return message.SerializeToString()


if __name__ == "__main__":
    target, rate, seconds, seed = sys.argv[1:]
    found = asyncio.run(_overload(target, sys.stdin.buffer.read(), float(rate), float(seconds), int(seed)))
    print(json.dumps(found.as_dict()))
