"""`python -m loadtests.locust_child`: the closed loop of one load test with Locust as its generator.

A process of its own, because importing Locust has gevent replace the sockets and threads of whoever imports it. On
standard input come a line of JSON (`target`, `timeout_s`, the load test's `spec`) and the images as .npy; on standard
output go a line when the users start, and `Outcomes` as JSON.
"""

# isort: off
# First: gevent has to replace the standard library before anything else uses it.
import locust  # noqa: F401
# isort: on

import dataclasses
import io
import json
import sys
import time

import gevent
import numpy as np
from locust.env import Environment
from numpy.typing import NDArray

from core.schemas.specs import LoadTestSpec
from loadtests.arrivals import LONGEST_S
from loadtests.recorder import NS_PER_S
from loadtests.sender import SEEDS_PER_REPEAT
from loadtests.user import InferenceUser, Load, Outcome
from services.client.inference import InferenceClient

LOOK_S = 0.05


@dataclasses.dataclass
class Outcomes:
    """Every query of a test, warm-up included; times are nanoseconds of `time.perf_counter_ns`, one clock on a host."""

    opened_ns: int = 0
    closed_ns: int = 0
    cpu: float = 0.0
    """CPU time of this process over the window's length."""
    answered: list[tuple[int, int, int, dict[str, int], int]] = dataclasses.field(default_factory=list)
    """Began, ended, images, nanoseconds by phase of the server, batch size."""
    failed: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    """Began, gRPC status code."""


def measure(target: str, timeout_s: float, spec: LoadTestSpec, images: NDArray[np.uint8]) -> Outcomes:
    """Runs the users through warm-up and window; queries under way at its end are waited for.

    Args:
        images: uint8 [n, height, width, channels] to draw from.
    """
    outcomes = Outcomes()

    class Caller(InferenceUser):
        """Keeps every outcome. Locust's own statistics round, so nothing is told to them."""

        def observe(self, outcome: Outcome) -> None:
            found = outcome.prediction
            if found is None:
                outcomes.failed.append((outcome.began_ns, outcome.code))
                return
            numbers = len(found.probabilities), dict(found.server_ns), found.batch_size
            outcomes.answered.append((outcome.began_ns, outcome.ended_ns, *numbers))

    # A refused request is a result here: the client must not repeat it behind the recorder's back.
    with InferenceClient(target, timeout_s=timeout_s, attempts=1) as client:
        Caller.load = Load(client, spec.model, spec.version, images, spec.batch_size, spec.seed)
        Caller.numbers = iter(range(spec.repeat * SEEDS_PER_REPEAT, sys.maxsize))
        runner = Environment(user_classes=[Caller], stop_timeout=timeout_s).create_local_runner()
        runner.start(spec.users, spawn_rate=spec.users)
        gevent.sleep(spec.warmup_s)
        outcomes.opened_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        before = len(outcomes.answered) + len(outcomes.failed)
        gevent.sleep(spec.duration_s)
        last = outcomes.opened_ns + LONGEST_S * NS_PER_S
        while len(outcomes.answered) + len(outcomes.failed) - before < spec.min_queries:
            if time.perf_counter_ns() > last:
                break
            gevent.sleep(LOOK_S)
        outcomes.closed_ns = time.perf_counter_ns()
        outcomes.cpu = (time.process_time_ns() - cpu_ns) / (outcomes.closed_ns - outcomes.opened_ns)
        runner.quit()
    return outcomes


def main() -> None:
    """One test."""
    order = json.loads(sys.stdin.buffer.readline())
    images = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    print("started", flush=True)
    outcomes = measure(order["target"], order["timeout_s"], LoadTestSpec.model_validate(order["spec"]), images)
    print(json.dumps(dataclasses.asdict(outcomes)), flush=True)


if __name__ == "__main__":
    main()
