"""Load tests as a summary holds them: repeats pooled, and curves over rates."""

from typing import Literal

import pydantic

from core import percentiles
from core.schemas.base import Schema
from core.schemas.results import LatencySummary
from core.schemas.scenarios import GENERATOR_BUSY, Generator, Scenario
from core.schemas.specs import RuntimeName

PercentileName = Literal["p50", "p90", "p95", "p99", "p999"]


class Run(Schema):
    """One of the repeats of a load test. Times are milliseconds."""

    run_id: str
    requests: int
    failed: int = 0
    """Queries that were not answered; of an earlier version's summary 0."""
    throughput: float
    p50: float
    p90: float
    p95: float | None = None
    """None in a summary of an earlier version, as is p999."""
    p99: float
    p999: float | None = None
    cpu_ms: float | None = None
    """CPU time of the server for one image; None where it was not told."""
    contended: bool = False
    problems: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it is part of the pooled figures."""
        return not self.contended and not self.problems

    @property
    def queries(self) -> int:
        """Answered and failed."""
        return self.requests + self.failed


class Load(Schema):
    """The load tests of one served artefact with equal settings, its repeats pooled. Times are milliseconds.

    Repeats that do not count are left out of the figures unless none counts. What artefacts are ranked and judged by is
    the median of the repeats (`core.repeats`); the pooled figures here describe all queries together.
    """

    run_id: str
    model: str
    version: int
    runtime: RuntimeName
    loop: str
    scenario: Scenario = "closed"
    generator: Generator | None = None
    """None in a summary of an earlier version, which did not tell."""
    rate: float | None = None
    """Queries per second the server scenario was asked for."""
    bound_ms: float | None = None
    users: int
    batch_size: int
    requests: int
    seconds: float
    throughput: float
    """Images per second."""
    latency_ms: LatencySummary
    server_ms: dict[str, float]
    mean_batch: float
    errors: dict[str, int]
    """gRPC status code to number of failed requests."""
    contended: bool
    generator_cpu: float | None = None
    """CPU share of one core the load generator used; None where it was not recorded."""
    runs: tuple[Run, ...] = ()
    """Every repeat, in the order measured; empty in a summary of an earlier version."""
    curve: tuple[tuple[float, float], ...] = ()
    """Percentile and latency, for a chart."""
    upper_ms: dict[str, float] = pydantic.Field(default_factory=dict)
    """Percentile (`p99`) to the value it does not exceed with 99 % confidence, of the repeats' largest."""
    within_bound: bool | None = None
    """Whether one repeat counts, and all that count show, at 99 % confidence, that p99 stays within the bound; None
    without one."""
    late_share: float | None = None
    """Largest share of queries that left the generator late; None in a closed loop."""
    cpu_ms: float | None = None
    """CPU time of the server for one image; None where it was not told."""
    problems: tuple[str, ...] = ()
    """Why no repeat counts; empty where one does."""

    @property
    def generator_bound(self) -> bool:
        """True where the load generator was busy almost all the time: the server could have done more."""
        return self.generator_cpu is not None and self.generator_cpu >= GENERATOR_BUSY

    @property
    def settings(self) -> tuple[str | None, str, float | None, int, int, str]:
        """Load tests compare where these are equal; the first is the generator."""
        return self.generator, self.scenario, self.rate, self.users, self.batch_size, self.loop

    @property
    def label(self) -> str:
        """`server at 200/s`, `closed, 8 users`."""
        if self.rate is not None:
            return f"{self.scenario} at {self.rate:g}/s"
        users = "user" if self.users == 1 else "users"
        return f"{self.scenario}, {self.users} {users}" if self.scenario == "closed" else self.scenario

    @property
    def p99_runs(self) -> tuple[float, ...]:
        """p99 of each repeat that counts; one figure for a summary of an earlier version."""
        return self.percentile_runs("p99")

    def percentile_runs(self, name: PercentileName) -> tuple[float, ...]:
        """A percentile of each repeat that counts; the pooled one for a summary of an earlier version."""
        told = tuple(value for run in self.runs if run.counts and (value := getattr(run, name)) is not None)
        return told or (getattr(self.latency_ms, name),)

    @property
    def throughput_runs(self) -> tuple[float, ...]:
        """Images per second of each repeat that counts."""
        return tuple(run.throughput for run in self.runs if run.counts) or (self.throughput,)

    @property
    def cpu_runs(self) -> tuple[float, ...]:
        """Server CPU milliseconds for an image in each repeat that counts and has them; one figure for a summary of an
        earlier version; empty where the server did not tell."""
        told = tuple(run.cpu_ms for run in self.runs if run.counts and run.cpu_ms is not None)
        return told or (() if self.cpu_ms is None else (self.cpu_ms,))

    @property
    def failed(self) -> int:
        """Requests that failed, whatever the code."""
        return sum(self.errors.values())

    @property
    def counts(self) -> bool:
        """False where it overlapped with other timed work, or measured the generator and not the server."""
        # Summaries of earlier versions have no problem for a busy generator.
        return not self.contended and not self.problems and not self.generator_bound

    @property
    def queries(self) -> int:
        """Answered and failed."""
        return self.requests + self.failed

    @property
    def least_queries(self) -> int:
        """Those of the repeat with the fewest, of the repeats that count: each gives its own percentiles."""
        counted = [run.queries for run in self.runs if run.counts]
        return min(counted or [run.queries for run in self.runs], default=self.queries)

    @property
    def supported(self) -> float | None:
        """The highest standard percentile that the queries of every repeat support at 99 % confidence; None where not
        even the median."""
        return percentiles.supported(self.least_queries)

    def supports(self, percentile: float) -> bool:
        """Whether the queries of every repeat support a percentile at 99 % confidence."""
        return percentiles.allowed_over(self.least_queries, percentile) >= 0

    @property
    def error_share(self) -> float:
        """Failed requests over all requests; 0 where there were none."""
        return self.failed / self.queries if self.queries else 0.0


class Saturation(Schema):
    """What one served artefact does as the rate of its queries grows (scenario server)."""

    model: str
    version: int
    runtime: RuntimeName
    bound_ms: float | None
    points: tuple[Load, ...]
    """By rate, ascending."""
    best_rate: float | None = None
    """The highest rate measured at which, and at every lower one, p99 is shown to stay within the bound; None where
    there is none, or no bound."""
    failed_rate: float | None = None
    """The lowest rate measured that is not within the bound; None where all were."""
    limit: str = ""
    """What failed there: the server, the generator, or other work that it overlapped with."""
