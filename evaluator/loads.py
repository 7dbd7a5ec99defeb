"""Pools the repeats of load tests, and reads saturation curves from them."""

from collections.abc import Hashable, Iterable, Sequence

from hdrh.histogram import HdrHistogram

from core import percentiles, rates
from core.schemas.loads import Load, Run, Saturation
from core.schemas.results import LatencySummary, LoadTestResult

CURVE = (25, 50, 75, 90, 95, 97, 98, 99, 99.5, 99.9, 99.95, 99.99)
US_PER_MS = 1000


def pool_repeats(results: Iterable[LoadTestResult]) -> tuple[Load, ...]:
    """One Load for each artefact and settings, in the order they first appear."""
    groups: dict[Hashable, list[LoadTestResult]] = {}
    for result in results:
        spec = result.spec
        # A version 1 result measured the same as a version 2 one: its schema is no setting.
        key = spec.model_dump_json(exclude={"repeat", "schema_version", "seed"})
        groups.setdefault((key, result.loop), []).append(result)
    return tuple(pool(group) for group in groups.values())


def pool(results: Sequence[LoadTestResult]) -> Load:
    """Equal measurements of one artefact as one: those that count, or all where none does."""
    runs = tuple(_run(result) for result in results)
    counted = [result for result, run in zip(results, runs, strict=True) if run.counts]
    used = counted or list(results)
    spec, seconds = used[0].spec, sum(result.seconds for result in used)
    latency, curve = _pooled_latency(used)
    return Load(
        run_id=used[0].run_id,
        model=spec.model,
        version=spec.version,
        runtime=spec.runtime,
        loop=used[0].loop,
        scenario=spec.scenario,
        generator=spec.generator,
        rate=spec.rate,
        bound_ms=spec.bound_ms,
        users=spec.users,
        batch_size=spec.batch_size,
        requests=sum(result.requests for result in used),
        seconds=seconds,
        throughput=sum(result.throughput * result.seconds for result in used) / seconds if seconds else 0.0,
        latency_ms=latency,
        server_ms=_mean_phases(used),
        mean_batch=_mean_batch(used),
        errors=_sum_errors(used),
        contended=all(result.environment.contended for result in used),
        generator_cpu=max((r.generator_cpu for r in used if r.generator_cpu is not None), default=None),
        runs=runs,
        curve=curve,
        upper_ms=_largest_upper(used),
        within_bound=rates.held(results) if spec.bound_ms is not None else None,
        late_share=max((r.late_share for r in used if r.late_share is not None), default=None),
        cpu_ms=_cpu_ms(used),
        problems=() if counted else tuple(dict.fromkeys(p for result in results for p in result.problems)),
    )


def saturation(loads: Sequence[Load]) -> tuple[Saturation, ...]:
    """One for each artefact that was measured in the server scenario at two rates or more."""
    found: dict[tuple[str, int, str], list[Load]] = {}
    for load in loads:
        if load.rate is not None:
            found.setdefault((load.model, load.version, load.runtime), []).append(load)
    return tuple(_saturation(points) for points in found.values() if len({load.rate for load in points}) > 1)


def _saturation(loads: list[Load]) -> Saturation:
    points = sorted(loads, key=lambda load: load.rate or 0.0)
    first = points[0]
    bound = next((load.bound_ms for load in points if load.bound_ms is not None), None)
    # A load's own judgement is that of `rates.judged`; one rate may have been measured with two settings.
    judged: dict[float, Load] = {}
    for load in points:
        if (
            load.rate is not None
            and load.within_bound is not None
            and (load.rate not in judged or not load.within_bound)
        ):
            judged[load.rate] = load
    best, failed = rates.highest_passed({rate: bool(load.within_bound) for rate, load in judged.items()})
    return Saturation(
        model=first.model,
        version=first.version,
        runtime=first.runtime,
        bound_ms=bound,
        points=tuple(points),
        best_rate=best,
        failed_rate=failed,
        limit="" if failed is None else _limit(judged[failed]),
    )


def _limit(load: Load) -> rates.Limit:
    return rates.failed_for(any(run.counts for run in load.runs), any(not run.problems for run in load.runs))


def _run(result: LoadTestResult) -> Run:
    return Run(
        run_id=result.run_id,
        requests=result.requests,
        failed=sum(result.errors.values()),
        throughput=result.throughput,
        p50=result.latency_ms.p50,
        p90=result.latency_ms.p90,
        p95=result.latency_ms.p95,
        p99=result.latency_ms.p99,
        p999=result.latency_ms.p999,
        cpu_ms=result.server.cpu_ms_per_image if result.server else None,
        contended=result.environment.contended,
        problems=result.problems,
    )


def _pooled_latency(results: Sequence[LoadTestResult]) -> tuple[LatencySummary, tuple[tuple[float, float], ...]]:
    """Percentiles over all latencies of all repeats, from their histograms; the first one's where one has none."""
    if not all(result.histogram for result in results):
        return results[0].latency_ms, ()
    pooled = HdrHistogram.decode(results[0].histogram)
    for result in results[1:]:
        pooled.add(HdrHistogram.decode(result.histogram))
    requests = sum(result.requests for result in results)
    longest = max(result.latency_ms.max for result in results)

    def at(percentile: float) -> float:
        return min(percentiles.value_at(pooled, percentile) / US_PER_MS, longest) if requests else 0.0

    mean = sum(result.latency_ms.mean * result.requests for result in results) / requests if requests else 0.0
    own = LatencySummary(mean=mean, p50=at(50), p90=at(90), p95=at(95), p99=at(99), p999=at(99.9), max=longest)
    # A percentile beyond the number of queries is the maximum again: left out.
    known = [q for q in CURVE if round(requests * (100 - q) / 100, 6) >= 1]
    summary = own if len(results) > 1 else results[0].latency_ms
    return summary, tuple((float(q), at(q)) for q in known) if requests else ()


def _mean_phases(results: Sequence[LoadTestResult]) -> dict[str, float]:
    """Means per request over the requests of the repeats whose server told: nothing told is not no time."""
    told = [result for result in results if result.server_ms]
    requests = sum(result.requests for result in told)
    phases = dict.fromkeys(phase for result in told for phase in result.server_ms)
    return {
        phase: sum(result.server_ms.get(phase, 0.0) * result.requests for result in told) / requests
        for phase in phases
        if requests
    }


def _mean_batch(results: Sequence[LoadTestResult]) -> float:
    """Images over batches: repeats with small batches execute more of them."""
    told = [result for result in results if result.mean_batch]
    batches = sum(result.requests / result.mean_batch for result in told)
    return sum(result.requests for result in told) / batches if batches else 0.0


def _sum_errors(results: Sequence[LoadTestResult]) -> dict[str, int]:
    codes = sorted({code for result in results for code in result.errors})
    return {code: sum(result.errors.get(code, 0) for result in results) for code in codes}


def _largest_upper(results: Sequence[LoadTestResult]) -> dict[str, float]:
    """A bound that holds for each repeat; a percentile that one of them does not support has none."""
    shared = [name for name in results[0].upper_ms if all(name in result.upper_ms for result in results)]
    return {name: max(result.upper_ms[name] for result in results) for name in shared}


def _cpu_ms(results: Sequence[LoadTestResult]) -> float | None:
    told = [result.server for result in results if result.server and result.server.cpu_s is not None]
    images = sum(server.images for server in told)
    return 1000 * sum(server.cpu_s or 0.0 for server in told) / images if images else None
