"""What a load test measured: queries in, one summary out.

The measured window opens when the warm-up ends and closes when the test's duration has passed. Latencies and errors are
those of queries that *began* inside it, however late they ended: leaving out the slow ones at the end would hide a
stall. In an open loop a query begins when it is due, whether or not the generator manages to send it then: the time it
waits counts (no coordinated omission). Throughput counts the images whose answers *arrived* inside the window, over its
length: as many queries are under way at the opening as at the closing, so neither end favours anybody.
"""

from collections import Counter
from collections.abc import Mapping

from hdrh.histogram import HdrHistogram

from core import percentiles
from core.schemas.results import LatencySummary
from core.schemas.scenarios import late_ms

HIGHEST_US = 3_600_000_000
DIGITS = 3
NS_PER_US, US_PER_MS, NS_PER_MS, NS_PER_S = 1_000, 1_000, 1_000_000, 1_000_000_000


class Latencies:
    """Times in a high-dynamic-range histogram: three significant digits, no finer than a microsecond."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, HIGHEST_US, DIGITS)
        self._total_ns = self._longest_ns = self.count = 0

    def add(self, elapsed_ns: int) -> None:
        """One time in nanoseconds."""
        self._histogram.record_value(min(max(1, round(elapsed_ns / NS_PER_US)), HIGHEST_US))
        self._total_ns += elapsed_ns
        self._longest_ns = max(self._longest_ns, elapsed_ns)
        self.count += 1

    def percentile_ms(self, percentile: float) -> float:
        """One percentile in milliseconds; 0 where there is nothing."""
        value_us = percentiles.value_at(self._histogram, percentile)
        return min(value_us / US_PER_MS, self._longest_ns / NS_PER_MS)

    def summary(self) -> LatencySummary:
        """Zeros where there is nothing. Mean and maximum are exact."""
        if not self.count:
            return LatencySummary(mean=0, p50=0, p90=0, p95=0, p99=0, p999=0, max=0)
        return LatencySummary(
            mean=self._total_ns / self.count / NS_PER_MS,
            p50=self.percentile_ms(50),
            p90=self.percentile_ms(90),
            p95=self.percentile_ms(95),
            p99=self.percentile_ms(99),
            p999=self.percentile_ms(99.9),
            max=self._longest_ns / NS_PER_MS,
        )

    def encoded(self) -> str:
        """HdrHistogram V2, deflated, base64."""
        return str(self._histogram.encode().decode("ascii"))


class Recorder:
    """Counts queries against the window. All times are nanoseconds of one monotonic clock."""

    def __init__(self, bound_ms: float | None = None) -> None:
        self._latency, self._lateness = Latencies(), Latencies()
        self._bound_ns = None if bound_ms is None else bound_ms * NS_PER_MS
        self._late_ns = late_ms(bound_ms) * NS_PER_MS
        self._opened_ns: int | None = None
        self._closed_ns: int | None = None
        self._over = self._late = 0
        self._images_arrived = 0
        self._images_reported = 0
        self._batches = 0.0
        self._server_ns: Counter[str] = Counter()
        self.requests = 0
        """Answered queries that began in the window."""
        self.errors: Counter[str] = Counter()
        """Failed queries that began in the window, by gRPC status code."""

        self.generator_cpu = 0.0
        """CPU time of this process over the window's length; gRPC's own threads may take it above 1."""

    def open(self, now_ns: int) -> None:
        """Queries that begin from this moment on count; it may lie ahead."""
        self._opened_ns = now_ns

    def close(self, now_ns: int) -> None:
        """Queries that begin at this moment or later do not count; it may lie ahead."""
        self._closed_ns = now_ns

    def success(
        self,
        began_ns: int,
        ended_ns: int,
        images: int,
        server_ns: Mapping[str, int],
        batch_size: int,
        late_ns: int | None = None,
    ) -> None:
        """An answered query of `images` images.

        Args:
            began_ns: when it was sent; in an open loop: due.
            batch_size: 0 where the server did not report it.
            late_ns: from due to sent; None in a closed loop.
        """
        if self._inside(ended_ns):
            self._images_arrived += images
        if not self._inside(began_ns):
            return
        elapsed_ns = ended_ns - began_ns
        self._latency.add(elapsed_ns)
        self._over += self._bound_ns is not None and elapsed_ns > self._bound_ns
        self._count_late(late_ns)
        self.requests += 1
        self._server_ns.update(server_ns)
        if batch_size:
            self._images_reported += images
            self._batches += images / batch_size

    def failure(self, began_ns: int, code: str, late_ns: int | None = None) -> None:
        """A query that ended with a gRPC status other than OK."""
        if self._inside(began_ns):
            self.errors[code] += 1
            self._count_late(late_ns)

    @property
    def queries(self) -> int:
        """Answered and failed ones that began in the window."""
        return self.requests + self.errors.total()

    @property
    def closed(self) -> bool:
        """True once the end of the window is known."""
        return self._closed_ns is not None

    @property
    def seconds(self) -> float:
        """Length of the window; 0 before it closed."""
        if self._opened_ns is None or self._closed_ns is None:
            return 0.0
        return (self._closed_ns - self._opened_ns) / NS_PER_S

    @property
    def over_bound(self) -> int | None:
        """Queries over the bound; a failed one has no latency that could be within it. None without a bound."""
        return None if self._bound_ns is None else self._over + self.errors.total()

    @property
    def late_share(self) -> float | None:
        """Share of queries that left late; None where none was due at a time."""
        return self._late / self._lateness.count if self._lateness.count else None

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
        """Milliseconds from beginning to answer; zeros where nothing was answered. Mean and maximum are exact."""
        return self._latency.summary()

    def lateness_ms(self) -> LatencySummary | None:
        """Milliseconds from due to sent; None where none was due at a time."""
        return self._lateness.summary() if self._lateness.count else None

    def percentile_ms(self, percentile: float) -> float:
        """One percentile of latency."""
        return self._latency.percentile_ms(percentile)

    def upper_ms(self) -> dict[str, float]:
        """By percentile the value it does not exceed with 99 % confidence; absent where the queries are too few.

        Failed queries count as slower than any answered one.
        """
        found = {}
        for percentile in percentiles.STANDARD:
            spare = percentiles.allowed_over(self.queries, percentile) - self.errors.total()
            if spare >= 0 and self.requests > spare:
                rank = 100 * (self.requests - spare) / self.requests
                found[percentiles.label(percentile)] = self.percentile_ms(rank)
        return found

    def histogram(self) -> str:
        """All latencies in microseconds, in HdrHistogram's own portable form."""
        return self._latency.encoded()

    def _count_late(self, late_ns: int | None) -> None:
        if late_ns is not None:
            self._lateness.add(late_ns)
            self._late += late_ns > self._late_ns

    def _inside(self, moment_ns: int) -> bool:
        if self._opened_ns is None or moment_ns < self._opened_ns:
            return False
        return self._closed_ns is None or moment_ns < self._closed_ns
