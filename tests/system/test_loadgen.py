"""MLPerf's own LoadGen and our open loop against the same frozen server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.bench_null import measure, null_server

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]
RATE, SECONDS = 100, 3
STALL = ("--stall-s", "1", "--stall-after", "200")


def test_loadgens_server_scenario_and_ours_send_as_many_queries_and_see_the_same_stall() -> None:
    pytest.importorskip("mlperf_loadgen")
    with null_server(*STALL) as target:
        command = [sys.executable, "tools/loadgen.py", target, "m", "--rate", str(RATE), "--seconds", str(SECONDS)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    with null_server(*STALL) as target:
        ours = measure(target, scenario="server", rate=float(RATE), duration_s=float(SECONDS))
    expected = RATE * SECONDS
    five_deviations = 5 * expected**0.5
    for queries in (theirs["queries"], ours.requests):
        assert queries == pytest.approx(expected, abs=five_deviations)
    assert (theirs["failed"], ours.errors) == (0, {})
    # Both count from the scheduled time: a third of the queries were due while the server was frozen.
    assert ours.latency_ms.p99 == pytest.approx(theirs["latency_ms"]["p99"], rel=0.5)
    assert theirs["latency_ms"]["p50"] < 500 < theirs["latency_ms"]["p99"]
