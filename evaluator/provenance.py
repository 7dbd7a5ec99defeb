"""Where the figures of a summary come from, and what a reader must know to read them right."""

from collections.abc import Iterator, Sequence

from core.schemas.data import DatasetSource, FolderSource, class_names
from core.schemas.environment import Environment
from core.schemas.results import AnyResult, LoadTestResult, PrepareResult, QuantizeResult, TrainResult
from core.schemas.scenarios import GENERATOR_BUSY
from core.schemas.summary import LOAD_TEST, TRAINING, UNTESTED, Data, Place, Row
from evaluator import text

Result = AnyResult
ROLES = {"prepare": "Preparation", "quantize": "Quantisation", "evaluate": "Evaluation", "loadtest": LOAD_TEST}


def describe_data(result: PrepareResult | None) -> Data | None:
    """The prepared data all results share; None where preparation gave none."""
    if result is None:
        return None
    spec = result.spec.data
    return Data(
        fingerprint=result.fingerprint,
        source=_source(result),
        image=spec.image,
        policy=spec.split.policy,
        classes=result.classes,
        counts=result.counts,
        skipped=result.skipped,
        seconds=result.seconds,
    )


def places(results: Sequence[Result]) -> tuple[Place, ...]:
    """Distinct environments with what was measured in each; momentary load and contention do not make a new one."""
    found: dict[str, tuple[Environment, list[str]]] = {}
    for result in results:
        settled = result.environment.model_copy(update={"load_average": 0.0, "contended": False})
        roles = found.setdefault(settled.model_dump_json(), (result.environment, []))[1]
        if (role := _role(result)) not in roles:
            roles.append(role)
    return tuple(Place(roles=tuple(roles), environment=environment) for environment, roles in found.values())


def step_seconds(results: Sequence[Result]) -> dict[str, float]:
    """Kind of step to what all of them took, one after another; the clock's time is less where some ran at once."""
    found: dict[str, float] = {}
    for result in results:
        found[result.kind] = found.get(result.kind, 0.0) + _seconds(result)
    return found


def _seconds(result: Result) -> float:
    if isinstance(result, TrainResult):
        return sum(result.seconds.values())
    return result.model.export_seconds if isinstance(result, QuantizeResult) else result.seconds


def notes(results: Sequence[Result], rows: Sequence[Row], data: Data | None) -> Iterator[str]:
    """One sentence for each thing that changes how the figures are to be read."""
    if len({result.environment.contended for result in results if isinstance(result, TrainResult)} - {False}):
        yield "Trainings marked contended overlapped with other timed work; their times are left out of comparisons."
    if any(row.load and row.load.contended for row in rows):
        yield "Load tests marked contended overlapped with other timed work; they are left out of the verdict."
    if any(row.load and row.load.failed for row in rows):
        yield "Some requests failed during load tests; failed requests are not part of latency and throughput."
    bound = sum(row.load is not None and row.load.generator_bound for row in rows)
    if bound:
        yield (
            f"In {text.count(bound, 'load test')} the load generator used {text.percent(GENERATOR_BUSY, 0)} or more of "
            "a core and was the bottleneck: throughput is a lower bound, latency contains its own queueing, and "
            "neither counts in verdict and gates."
        )
    for kind, what in ((TrainResult, "Trainings"), (LoadTestResult, "Load tests")):
        machines = count_machines([result.environment for result in results if isinstance(result, kind)])
        if machines > 1:
            yield f"{what} ran on {machines} different machines, devices or quotas; their times do not compare."
    yield from _data_notes(data)


def _data_notes(data: Data | None) -> Iterator[str]:
    if data is None:
        return
    if unseen := data.without("validation"):
        yield (
            f"There is no validation image of {class_names(unseen)}: the validation figures of each epoch, temperature "
            "and threshold come from the other classes."
        )
    if data.skipped:
        yield f"{text.count(len(data.skipped), 'image')} could not be decoded and were left out."


def untested(data: Data | None, where: str = "") -> Iterator[str]:
    """One line where classes have no test image: what is not known of them, and what the means are over.

    Args:
        where: follows the names of the classes, for example ` on the contiguous split`.
    """
    if data is None or not (absent := data.without("test")):
        return
    yield (
        f"{UNTESTED}{class_names(absent)}{where}: there are none, so how well "
        f"{'it is' if len(absent) == 1 else 'they are'} recognised is not known; macro averages are over the other "
        f"{len(data.classes) - len(absent)} of {len(data.classes)} classes"
    )


def count_machines(environments: Sequence[Environment]) -> int:
    """How many there are: a machine keeps its name through a restart, and its containers share one kernel."""
    names: dict[str, str] = {}
    for one in environments:
        names.setdefault(one.boot_id or one.host, one.host)
    return len({(names[one.boot_id or one.host], one.cpu_model, one.cpu_quota, one.device) for one in environments})


def _role(result: Result) -> str:
    return (
        f"{text.framework(result.spec.framework)}{TRAINING}" if isinstance(result, TrainResult) else ROLES[result.kind]
    )


def _source(result: PrepareResult) -> str:
    source = result.spec.data.source
    if isinstance(source, FolderSource):
        return f"folder {source.path}"
    if isinstance(source, DatasetSource):
        return " ".join(filter(None, ("data set", source.name, source.config, source.revision)))
    return "scikit-learn's handwritten digits"
