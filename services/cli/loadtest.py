"""`bakeoff loadtest`: measures served models in MLPerf's scenarios, over rates, or for the highest rate in a bound."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Annotated, Any

import pydantic
import typer

from core import percentiles, rates
from core.errors import BakeoffError, CancelledError, InvalidInputError
from core.formats import choose_runtime
from core.schemas.base import explain
from core.schemas.experiment import LoadTestPlan
from core.schemas.results import LoadTestResult
from core.schemas.specs import LoadTestSpec
from services.cli.context import Home, ends_well, err
from services.cli.formats import FormatOption, ListFormat, show
from services.cli.progress import reporter
from services.cli.services import say
from services.cli.stack import Stack
from services.orchestrator.measuring import Measuring
from services.orchestrator.steps import Step, load_spec, served_label

Options = dict[str, Any]
FAILED: dict[rates.Limit, str] = {
    "server": "the server did not hold",
    "generator": "the generator could not send",
    "other work": "other timed work overlapped with",
}


@ends_well
def loadtest(
    models: Annotated[list[str], typer.Argument(help="Names of models, see bakeoff models; repeats alternate them.")],
    scenario: Annotated[str, typer.Option(help="closed, single_stream, multi_stream, server or offline.")] = "closed",
    generator: Annotated[str, typer.Option(help="bakeoff, or locust (closed only).")] = "bakeoff",
    rate: Annotated[float | None, typer.Option(help="Queries per second of the scenario server.")] = None,
    sweep: Annotated[int | None, typer.Option(help="Saturation curve: number of rates, 6 or more.")] = None,
    at: Annotated[list[float] | None, typer.Option("--at", help="Saturation curve at this rate; repeat it.")] = None,
    search: Annotated[bool, typer.Option("--search", help="Find the highest rate within --bound-ms.")] = False,
    bound_ms: Annotated[float | None, typer.Option(help="Milliseconds that p99 is to stay within.")] = None,
    repeats: Annotated[int, typer.Option(help="Measurements of each model, interleaved; 3 or more show a spread.")] = 1,
    users: Annotated[int, typer.Option(help="Callers (closed), or queries under way (offline).")] = 8,
    batch_size: Annotated[int | None, typer.Option(help="Images per query (closed, offline).")] = None,
    warmup_s: Annotated[float, typer.Option(help="Seconds before anything counts.")] = 1.0,
    duration_s: Annotated[float, typer.Option(help="Seconds measured, at least.")] = 5.0,
    min_queries: Annotated[int, typer.Option(help="Measure until there were so many; p99 takes 459 or more.")] = 0,
    version: Annotated[int | None, typer.Option(help="Version; default: the newest.", min=1)] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option("--runtime", help="Runtime that serves them, for example openvino; repeat it to compare several."),
    ] = None,
    style: FormatOption = ListFormat.TABLE,
) -> None:
    """Load-test served models; started again, it repeats no measurement that is stored."""
    given: Options = {"scenario": scenario, "rate": rate, "bound_ms": bound_ms, "repeats": repeats, "users": users}
    given |= {"generator": generator}
    given |= {"warmup_s": warmup_s, "duration_s": duration_s, "min_queries": min_queries, "search": search}
    given |= {"batch_size": batch_size} if batch_size is not None else {}
    given |= {"sweep": tuple(at) if at else sweep}
    plan, home = read_plan(given), Home()
    wanted: list[str | None] = list(dict.fromkeys(runtime or ())) or [None]
    subjects = [_subject(home, plan, name, version, one) for name in dict.fromkeys(models) for one in wanted]
    services = sorted({f"serving-{subject.runtime}" for subject in subjects})
    failures: list[str] = []
    with Stack(home, say).with_services(services), reporter(err) as progress:
        measuring = Measuring(home.directory, home.open_store(), progress, lambda step: _noted(step, failures))
        measuring.run(plan, subjects)
    found = measuring.found
    show([result.model_dump(mode="json") for result in found] if style is ListFormat.JSON else rows(found), style)
    for line in conclusions(found):
        err.print(line, highlight=False, markup=False, soft_wrap=True)
    usable = {_label(result.spec) for result in found if result.valid}
    unusable = [_label(subject) for subject in subjects if _label(subject) not in usable]
    for line in (*failures, *(f"{model}: no measurement counts" for model in unusable)):
        err.print(f"failed: {line}", style="red", highlight=False, markup=False, soft_wrap=True)
    if failures or unusable:
        raise typer.Exit(1)


def read_plan(given: Options) -> LoadTestPlan:
    """The options as a plan. InvalidInputError names each option that is wrong."""
    try:
        return LoadTestPlan.model_validate(given)
    except pydantic.ValidationError as error:
        raise InvalidInputError(f"options are not valid: {explain(error)}") from error


def rows(results: Iterable[LoadTestResult]) -> list[dict[str, Any]]:
    """One table row for each model and setting; repeats that count as median and range, or all where none does."""
    groups: dict[tuple[str, str], list[LoadTestResult]] = {}
    for result in results:
        groups.setdefault((_label(result.spec), _setting(result.spec)), []).append(result)
    return [_row(model, setting, group) for (model, setting), group in groups.items()]


def _row(model: str, setting: str, group: list[LoadTestResult]) -> dict[str, Any]:
    used = [result for result in group if rates.counts(result)] or group
    first = used[0]
    cpu = [v for r in used if r.server and (v := r.server.cpu_ms_per_image) is not None]
    errors = sum(sum(result.errors.values()) for result in used)
    supported = min((result.supported or 0.0) for result in used)
    return {
        "model": model,
        "scenario": setting,
        "runs": len(used),
        "images/s": spread([result.throughput for result in used], 0),
        "p50 ms": spread([result.latency_ms.p50 for result in used], 2),
        "p90 ms": f"{median(result.latency_ms.p90 for result in used):.2f}",
        "p99 ms": spread([result.latency_ms.p99 for result in used], 2),
        "supports": percentiles.label(supported) if supported else "–",
        "queue ms": _phase(used, "queue"),
        "infer ms": _phase(used, "infer"),
        "batch": f"{median(result.mean_batch for result in used):.1f}",
        "CPU ms": f"{median(cpu):.2f}" if cpu else "–",
        "late": "–" if first.late_share is None else f"{max(result.late_share or 0.0 for result in used):.1%}",
        "errors": str(errors),
        "bound": _bound(used),
    }


def conclusions(results: Iterable[LoadTestResult]) -> Iterator[str]:
    """What does not count and why, and the highest rate within the bound by model."""
    bounded: dict[tuple[str, float], list[LoadTestResult]] = {}
    for result in results:
        spec = result.spec
        for problem in result.problems:
            yield f"does not count: {_label(spec)}, {_setting(spec)}: {problem}"
        if result.environment.contended:
            yield f"does not count: {_label(spec)}, {_setting(spec)}: it overlapped with other timed work"
        if spec.rate is not None and spec.bound_ms is not None:
            bounded.setdefault((_label(spec), spec.bound_ms), []).append(result)
    for key, measured in bounded.items():
        yield _highest(*key, measured)


def _highest(model: str, bound: float, measured: list[LoadTestResult]) -> str:
    best, failed = rates.highest_passed(rates.judged(measured))
    found = f"{best:g} queries/s" if best is not None else "none of the rates measured"
    line = f"{model}: highest rate whose p99 is shown to stay within {bound:g} ms (99 % confidence): {found}"
    if failed is None:
        return f"{line}; no higher one was measured"
    there = [result for result in measured if result.spec.rate == failed]
    limit = rates.failed_for(any(map(rates.counts, there)), any(result.valid for result in there))
    return f"{line}; {FAILED[limit]} {failed:g}/s"


def spread(values: list[float], digits: int) -> str:
    """`1.20`, or median and range `1.20 (1.10–1.40)`."""
    if len(values) == 1:
        return f"{values[0]:,.{digits}f}"
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def _setting(spec: LoadTestSpec) -> str:
    if spec.rate is not None:
        return f"server {spec.rate:g}/s"
    images = f" × {spec.batch_size}" if spec.batch_size > 1 else ""
    return f"closed {spec.users}{images}" if spec.scenario == "closed" else f"{spec.scenario}{images}"


def _phase(results: list[LoadTestResult], phase: str) -> str:
    values = [result.server_ms[phase] for result in results if phase in result.server_ms]
    return f"{median(values):.2f}" if values else "–"


def _bound(results: list[LoadTestResult]) -> str:
    if results[0].within_bound is None:
        return "–"
    return "within" if all(result.within_bound for result in results) else "over"


def _subject(home: Home, plan: LoadTestPlan, model: str, version: int | None, runtime: str | None) -> LoadTestSpec:
    repository = home.open_repository(model)
    artifact = repository.artifact(model, version or repository.latest(model))
    chosen = choose_runtime(artifact.format, runtime)
    return load_spec(plan, model, artifact.version, artifact.digest, chosen, artifact.data_fingerprint)


def _label(spec: LoadTestSpec) -> str:
    return served_label(spec.model, spec.runtime)


@contextmanager
def _noted(step: Step, failures: list[str]) -> Iterator[None]:
    """A measurement that fails is told at the end; the others go on."""
    try:
        yield
    except CancelledError:
        raise
    except BakeoffError as error:
        failures.append(f"{step.label}: {error}")
