"""Exact percentiles for Locust: a histogram in every process, merged in the one that reports.

Locust's own percentiles are rounded to a millisecond below 100 ms and to two digits above, in each worker before they
are merged. Here workers send their histograms to the master with their reports, where they are added: the percentiles
are those of all requests.
"""

import json
from pathlib import Path
from typing import Any

from hdrh.histogram import HdrHistogram
from locust import events
from locust.env import Environment

from core import files
from core.percentiles import STANDARD, label, supported, value_at
from loadtests.recorder import DIGITS, HIGHEST_US, US_PER_MS

KEY = "bakeoff_histogram"
"""In a worker's report."""


class Latencies:
    """Answered requests of this process, and on a master of all workers."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """A test begins."""
        self._histogram = HdrHistogram(1, HIGHEST_US, DIGITS)
        self.failed = 0

    def record(self, response_time: float, exception: object = None, **_: object) -> None:
        """One request; `response_time` is in milliseconds."""
        if exception is not None:
            self.failed += 1
            return
        self._histogram.record_value(min(max(1, round(response_time * US_PER_MS)), HIGHEST_US))

    def report(self, data: dict[str, Any], **_: object) -> None:
        """Puts what was recorded since the last report into a worker's message."""
        data[KEY] = {"histogram": self._histogram.encode().decode("ascii"), "failed": self.failed}
        self.clear()

    def merge(self, data: dict[str, Any], **_: object) -> None:
        """Adds a worker's message."""
        if found := data.get(KEY):
            self._histogram.add(HdrHistogram.decode(found["histogram"]))
            self.failed += found["failed"]

    def summary(self) -> dict[str, Any]:
        """Requests, failures, milliseconds by percentile, and the percentile the number of requests supports."""
        count = int(self._histogram.get_total_count())
        at = {label(q): value_at(self._histogram, q) / US_PER_MS for q in STANDARD}
        at["max"] = self._histogram.get_max_value() / US_PER_MS
        best = supported(count + self.failed)
        return {
            "requests": count,
            "failed": self.failed,
            "latency_ms": at if count else {},
            "supported": label(best) if best else None,
            "histogram": self._histogram.encode().decode("ascii"),
        }


def attach(latencies: Latencies) -> None:
    """Has Locust's events feed the histogram; the process that reports prints it when it ends."""
    events.request.add_listener(latencies.record)
    events.report_to_master.add_listener(lambda client_id, data: latencies.report(data))
    events.worker_report.add_listener(lambda client_id, data: latencies.merge(data))
    events.test_start.add_listener(lambda environment, **_: latencies.clear())
    events.quitting.add_listener(lambda environment, **_: tell(environment, latencies))


def tell(environment: Environment, latencies: Latencies) -> None:
    """Prints exact percentiles and, with `--histogram FILE`, writes them with the histogram."""
    if environment.parsed_options.worker:
        return  # The master has everything.
    found = latencies.summary()
    times = ", ".join(f"{name} {value:.3f}" for name, value in found["latency_ms"].items())
    print(f"exact latency in ms over {found['requests']:,} answered requests: {times or 'none'}", flush=True)
    if path := environment.parsed_options.histogram:
        files.write_text(Path(path), json.dumps(found, indent=2) + "\n")
