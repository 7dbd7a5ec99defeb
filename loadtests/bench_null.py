"""What the generator itself can do: requests per second and latency against a server that computes nothing.

    python -m loadtests.bench_null

A served model whose figures come near these was not measured; the generator was.
"""

import subprocess
import sys

USERS = (1, 8, 32)
WARMUP_S, DURATION_S = 0.5, 3.0


def main() -> None:
    """Starts a null server, measures with each number of users, prints one row each."""
    server = subprocess.Popen([sys.executable, "-m", "loadtests.null_server"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        _measure_all(server.stdout.readline().strip())
    finally:
        server.terminate()
        server.wait()


def _measure_all(target: str) -> None:
    import gevent.event  # Here, after the server was started: importing Locust below patches this process.

    from loadtests.driver import measure
    from loadtests.images import random_images
    from loadtests.user import Load
    from services.client.inference import InferenceClient

    print(f"{'users':>5} {'requests/s':>11} {'p50 ms':>8} {'p99 ms':>8} {'p99.9 ms':>9} {'max ms':>8} {'errors':>7}")
    with InferenceClient(target, attempts=1) as client:
        load = Load(client, "null", 1, random_images((28, 28, 1), 0), 1, 0)
        for users in USERS:
            recorder = measure(load, users, WARMUP_S, DURATION_S, gevent.event.Event(), lambda *_: None)
            latency = recorder.latency_ms()
            print(
                f"{users:>5} {recorder.throughput:>11.0f} {latency.p50:>8.3f} {latency.p99:>8.3f} {latency.p999:>9.3f} "
                f"{latency.max:>8.3f} {recorder.errors.total():>7}"
            )


if __name__ == "__main__":
    main()
