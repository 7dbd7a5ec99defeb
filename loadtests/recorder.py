"""What a load test measured: requests in, one summary out. Plain Python, no Locust.

The measured window opens when the warm-up ends and closes when the test's duration has passed. Latencies and errors are
those of requests that *began* inside it, however late they ended: leaving out the slow ones at the end would hide a
stall. Throughput counts the images whose answers *arrived* inside it, over its length: as many requests are under way
at the opening as at the closing, so neither end favours anybody.
"""

from collections import Counter
from collections.abc import Mapping

from hdrh.histogram import HdrHistogram

from core.schemas.results import LatencySummary

HIGHEST_US = 3_600_000_000
DIGITS = 3
NS_PER_US, US_PER_MS, NS_PER_MS, NS_PER_S = 1_000, 1_000, 1_000_000, 1_000_000_000


class Recorder:
    """Counts requests against the window. All times are nanoseconds of one monotonic clock."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, HIGHEST_US, DIGITS)
        self._opened_ns: int | None = None
        self._closed_ns: int | None = None
        self._cpu_opened_ns = self._cpu_closed_ns = 0
        self._total_ns = self._longest_ns = 0
        self._images_arrived = 0
        self._images_reported = 0
        self._batches = 0.0
        self._server_ns: Counter[str] = Counter()
        self.requests = 0
        """Answered requests that began in the window."""
        self.errors: Counter[str] = Counter()
        """Failed requests that began in the window, by gRPC status code."""

    def open(self, now_ns: int, cpu_ns: int = 0) -> None:
        """The warm-up is over; `cpu_ns` is the CPU time this process has used so far."""
        self._opened_ns, self._cpu_opened_ns = now_ns, cpu_ns

    def close(self, now_ns: int, cpu_ns: int = 0) -> None:
        """No request that begins from now on counts."""
        self._closed_ns, self._cpu_closed_ns = now_ns, cpu_ns

    def success(self, began_ns: int, ended_ns: int, images: int, server_ns: Mapping[str, int], batch_size: int) -> None:
        """An answered request of `images` images; `batch_size` 0 where the server did not report it."""
        if self._inside(ended_ns):
            self._images_arrived += images
        if not self._inside(began_ns):
            return
        elapsed_ns = ended_ns - began_ns
        self._histogram.record_value(min(max(1, round(elapsed_ns / NS_PER_US)), HIGHEST_US))
        self._total_ns += elapsed_ns
        self._longest_ns = max(self._longest_ns, elapsed_ns)
        self.requests += 1
        self._server_ns.update(server_ns)
        if batch_size:
            self._images_reported += images
            self._batches += images / batch_size

    def failure(self, began_ns: int, code: str) -> None:
        """A request that ended with a gRPC status other than OK."""
        if self._inside(began_ns):
            self.errors[code] += 1

    @property
    def closed(self) -> bool:
        """True once the window is over: time for users to go."""
        return self._closed_ns is not None

    @property
    def seconds(self) -> float:
        """Length of the window; 0 before it closed."""
        if self._opened_ns is None or self._closed_ns is None:
            return 0.0
        return (self._closed_ns - self._opened_ns) / NS_PER_S

    @property
    def generator_cpu(self) -> float:
        """CPU time this process used in the window over the window's length; gRPC's own threads may take it above 1."""
        return (self._cpu_closed_ns - self._cpu_opened_ns) / NS_PER_S / self.seconds if self.seconds else 0.0

    @property
    def throughput(self) -> float:
        """Images per second whose answers arrived in the window."""
        return self._images_arrived / self.seconds if self.seconds else 0.0

    @property
    def mean_batch(self) -> float:
        """Images per executed batch, 0 where the server reported none.

        n images in a batch of b are n/b of a batch: Σn / Σ(n/b). The plain mean over requests would count a large batch
        once for every request in it.
        """
        return self._images_reported / self._batches if self._batches else 0.0

    def server_ms(self) -> dict[str, float]:
        """Mean milliseconds per answered request by phase."""
        return {phase: total / self.requests / NS_PER_MS for phase, total in sorted(self._server_ns.items())}

    def latency_ms(self) -> LatencySummary:
        """Milliseconds from sending to answer; zeros where nothing was answered. Mean and maximum are exact."""
        if not self.requests:
            return LatencySummary(mean=0, p50=0, p90=0, p95=0, p99=0, p999=0, max=0)
        return LatencySummary(
            mean=self._total_ns / self.requests / NS_PER_MS,
            p50=self.percentile_ms(50),
            p90=self.percentile_ms(90),
            p95=self.percentile_ms(95),
            p99=self.percentile_ms(99),
            p999=self.percentile_ms(99.9),
            max=self._longest_ns / NS_PER_MS,
        )

    def percentile_ms(self, percentile: float) -> float:
        """One percentile in milliseconds, to three significant digits and no finer than a microsecond."""
        value_us = float(self._histogram.get_value_at_percentile(percentile))
        return min(value_us / US_PER_MS, self._longest_ns / NS_PER_MS)

    def _inside(self, moment_ns: int) -> bool:
        if self._opened_ns is None or moment_ns < self._opened_ns:
            return False
        return self._closed_ns is None or moment_ns < self._closed_ns
