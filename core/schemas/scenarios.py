"""Load test scenarios, named and defined as in MLPerf inference (mlcommons/inference_policies, section Scenarios)."""

from typing import Any, Literal

import pydantic

from core.schemas.base import Schema

Scenario = Literal["closed", "single_stream", "multi_stream", "server", "offline"]
"""closed: `users` callers, each sends its next query when the last is answered; no MLPerf scenario.
single_stream: one caller, one image per query.
multi_stream: one caller, eight images per query.
server: one image per query, sent at the times of a Poisson process of `rate` queries per second, whether or not earlier
ones were answered; latency runs from the time a query was due.
offline: all images are there at the start, `users` queries under way at a time; latency runs from the start."""

Generator = Literal["bakeoff", "locust"]

IMAGES: dict[str, int] = {"single_stream": 1, "multi_stream": 8, "server": 1}
"""Images per query where the definition fixes them."""
OPEN_LOOP = ("server", "offline")
TARGET_PERCENTILE = 99.0
"""The percentile a latency bound is about, as in MLPerf's server scenario."""
LATE_ALLOWED = 0.01
"""Share of an open loop's queries that may leave late; above, the generator was measured and not the server."""
GENERATOR_BUSY = 0.9
"""Share of one core from which on a load generator, one process, counts as the bottleneck."""
LATE_MS, LATE_OF_BOUND = 1.0, 0.1
"""A query is late that leaves more than a millisecond after it was due, or a tenth of the bound where that is more."""


def generator_problem(generator_cpu: float | None) -> str | None:
    """Why a load test does not count whose generator used that share of one core; None where it does."""
    if generator_cpu is None or generator_cpu < GENERATOR_BUSY:
        return None
    return (
        f"the generator used {generator_cpu:.0%} of a core and was the bottleneck (from {GENERATOR_BUSY:.0%} on): the "
        "server could do more, and latencies contain the generator's own queue; ask for less, or free a core"
    )


def late_ms(bound_ms: float | None) -> float:
    """From which lateness on, in milliseconds, a query is late."""
    return max(LATE_MS, LATE_OF_BOUND * (bound_ms or 0.0))


class Traffic(Schema):
    """What a load test sends, and for how long."""

    scenario: Scenario = "closed"
    generator: Generator = "bakeoff"
    """Who sends: Bakeoff's own generator, or Locust, which knows closed loops only and costs more CPU per query."""
    users: int = pydantic.Field(8, ge=1, le=10_000)
    """Callers of `closed`, queries under way of `offline`; 1 in the other scenarios."""
    rate: float | None = pydantic.Field(None, gt=0, le=1_000_000)
    """Queries per second of `server`; None in the other scenarios."""
    warmup_s: float = pydantic.Field(1.0, ge=0)
    duration_s: float = pydantic.Field(5.0, gt=0)
    """Measured seconds at least; it takes longer where `min_queries` need it."""
    min_queries: int = pydantic.Field(0, ge=0, le=10_000_000)
    batch_size: int = pydantic.Field(1, ge=1, le=4096)
    """Images per query; fixed by the definition in all scenarios but `closed` and `offline`."""
    bound_ms: float | None = pydantic.Field(None, gt=0)
    """Latency the 99th percentile is to stay within."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _fill_by_definition(cls, data: Any) -> Any:
        scenario = data.get("scenario", "closed") if isinstance(data, dict) else "closed"
        fixed = IMAGES.get(scenario) if isinstance(scenario, str) else None
        if fixed is None:
            return data
        # Where a scenario has no use for a key, every value is the same test: one value, one id.
        return {"batch_size": fixed, **data, "users": 1}

    @pydantic.model_validator(mode="after")
    def _as_defined(self) -> "Traffic":
        fixed = IMAGES.get(self.scenario)
        if fixed is not None and self.batch_size != fixed:
            raise ValueError(
                f"batch_size is {self.batch_size}, but MLPerf defines {self.scenario} with {fixed} per query; leave "
                "batch_size out, or use the scenario closed or offline"
            )
        if self.generator == "locust" and self.scenario != "closed":
            raise ValueError(
                f"generator locust knows the scenario closed only, not {self.scenario}; use generator bakeoff"
            )
        if self.scenario == "server" and self.rate is None:
            raise ValueError("scenario server needs a rate, in queries per second")
        if self.scenario != "server" and self.rate is not None:
            raise ValueError(f"rate is {self.rate:g}, but {self.scenario} has none; use the scenario server")
        return self
