"""MLPerf's own LoadGen against an Open Inference Protocol server: for comparing its figures with ours.

    python tools/loadgen.py 127.0.0.1:7111 MODEL --scenario server --rate 200 --seconds 5

prints one JSON object: queries, and milliseconds by percentile from LoadGen's summary. Needs mlcommons-loadgen.
"""

import argparse
import json
import re
import tempfile
import threading
from pathlib import Path

import grpc
import mlperf_loadgen as lg
import numpy as np
from inference import grpc_service_pb2_grpc as stubs

from loadtests.checks import input_shape
from loadtests.images import random_images
from services.client import tensors
from services.client.channels import MAX_MESSAGE_BYTES
from services.client.inference import InferenceClient

SCENARIOS = {
    "single_stream": lg.TestScenario.SingleStream,
    "multi_stream": lg.TestScenario.MultiStream,
    "server": lg.TestScenario.Server,
}
PERCENTILE = re.compile(r"^(\d+\.\d+) percentile latency \(ns\)\s*: (\d+)", re.MULTILINE)


class System:
    """LoadGen's system under test: one gRPC call for each query."""

    def __init__(self, target: str, model: str) -> None:
        with InferenceClient(target) as client:
            images = random_images(input_shape(client, model, None), 0)
        self._images, self._model = images, model
        self._stub = stubs.GRPCInferenceServiceStub(grpc.insecure_channel(target))
        self.count = len(images)
        self.answered, self.failed = 0, 0
        self._lock = threading.Lock()

    def issue(self, samples: list[lg.QuerySample]) -> None:
        """Sends a query's samples as one request and returns at once."""
        batch = np.ascontiguousarray(self._images[[sample.index for sample in samples]])
        request = tensors.infer_request(self._model, batch, None, MAX_MESSAGE_BYTES)
        ids = [sample.id for sample in samples]
        self._stub.ModelInfer.future(request).add_done_callback(lambda call: self._complete(call, ids))

    def _complete(self, call: grpc.Future, ids: list[int]) -> None:
        with self._lock:
            self.answered += call.exception() is None
            self.failed += call.exception() is not None
        lg.QuerySamplesComplete([lg.QuerySampleResponse(number, 0, 0) for number in ids])


def measure(target: str, model: str, scenario: str, rate: float, seconds: float, queries: int) -> dict[str, object]:
    """One run of LoadGen; warm-up is its own affair (it has none), so a few queries are sent before."""
    system = System(target, model)
    for _ in range(50):
        with InferenceClient(target) as client:
            client.predict(model, system._images[:1])
    settings = lg.TestSettings()
    settings.scenario, settings.mode = SCENARIOS[scenario], lg.TestMode.PerformanceOnly
    settings.min_duration_ms, settings.min_query_count = int(1000 * seconds), queries
    settings.server_target_qps, settings.server_target_latency_ns = rate, 10**10
    settings.multi_stream_samples_per_query = 8
    with tempfile.TemporaryDirectory() as folder:
        output = lg.LogOutputSettings()
        output.outdir, output.copy_summary_to_stdout = folder, False
        logs = lg.LogSettings()
        logs.log_output, logs.enable_trace = output, False
        sut = lg.ConstructSUT(system.issue, lambda: None)
        samples = lg.ConstructQSL(system.count, system.count, lambda _: None, lambda _: None)
        lg.StartTestWithLogSettings(sut, samples, settings, logs)
        lg.DestroyQSL(samples)
        lg.DestroySUT(sut)
        summary = (Path(folder) / "mlperf_log_summary.txt").read_text()
    latency = {f"p{float(name):g}": int(ns) / 1e6 for name, ns in PERCENTILE.findall(summary)}
    return {"queries": system.answered, "failed": system.failed, "latency_ms": latency}


def main() -> None:
    """Reads the options and measures."""
    parser = argparse.ArgumentParser(description="MLPerf LoadGen against an inference server.")
    parser.add_argument("target")
    parser.add_argument("model")
    parser.add_argument("--scenario", choices=SCENARIOS, default="server")
    parser.add_argument("--rate", type=float, default=100.0, help="queries per second of the scenario server")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--queries", type=int, default=1, help="at least so many")
    given = parser.parse_args()
    found = measure(given.target, given.model, given.scenario, given.rate, given.seconds, given.queries)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
