"""`bakeoff evaluate`: scores a served model, ours or on any server of the Open Inference Protocol."""

from contextlib import nullcontext
from typing import Annotated, Any

import pydantic
import typer
from bakeoff.run.v1 import run_pb2

from core.errors import InvalidInputError, NotFoundError, WrongStateError
from core.formats import choose_runtime
from core.results import read_result
from core.schemas.base import explain
from core.schemas.data import class_names
from core.schemas.results import Scored
from core.schemas.specs import EvaluateServedSpec, EvaluateSpec
from core.store import Store
from services.cli.context import Home, ends_well, err, out
from services.cli.evidence import find_summary
from services.cli.formats import FormatOption, ListFormat, show
from services.cli.progress import reporter
from services.cli.services import say
from services.cli.stack import Stack
from services.client.control import TERMINAL, EvaluatorClient, raise_unless_succeeded
from services.orchestrator.measuring import Measuring
from services.orchestrator.reporter import Reporter
from services.orchestrator.steps import Step

SHORTEST_PREFIX = 6


@ends_well
def evaluate(
    model: Annotated[
        str, typer.Argument(help="Name of a model: see bakeoff models, or as the server at --target has it.")
    ],
    target: Annotated[
        str | None, typer.Option(help="host:port of any Open Inference Protocol server, as the evaluator reaches it.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Prepared data: its fingerprint, the start of it, or an experiment; default: the model's own."
        ),
    ] = None,
    version: Annotated[int | None, typer.Option(help="Version; default: the newest.", min=1)] = None,
    runtime: Annotated[
        str | None, typer.Option(help="Runtime that serves it, for example openvino; default: the format's own.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images per request.", min=1, max=4096)] = 64,
    resume: Annotated[
        bool, typer.Option("--resume", help="With --target: go on with what was interrupted; the model is the same.")
    ] = False,
    calibrate: Annotated[bool, typer.Option(help="Score the validation split too, for the temperature.")] = True,
    style: FormatOption = ListFormat.TABLE,
) -> None:
    """Score a served model on the test images; every prediction is kept.

    With --target the model is whatever that server (Triton, KServe, MLServer, another Bakeoff) has under the name;
    asked again it is scored again from the beginning, unless --resume. Without, it is a model of the repository, and a
    result that is there is shown.
    """
    home = Home()
    store = home.open_store()
    given = {"batch_size": batch_size, "calibrate": calibrate}
    if target is not None and runtime is not None:
        raise InvalidInputError(
            "--runtime chooses among the servers here; the one at --target has its own: leave one out"
        )
    if target is None:
        if resume:
            raise InvalidInputError(
                "--resume goes with --target; a model of the repository always goes on where it was"
            )
        published = _published(home, model, version, data, {**given, "runtime": runtime})
        step = Step(published, "evaluator", model)
        if not store.has("results", step.run_id):
            services = [f"serving-{published.runtime}", "evaluator"]
            with (
                Stack(home, say).with_services(services),
                reporter(err) as progress,
                Measuring(home.directory, store, progress, lambda _step: nullcontext()).served([step]),
            ):
                _finish(step, home, store, progress)
    else:
        asked = _served(store, model, version, data, {**given, "target": target})
        with Stack(home, say).with_services(["evaluator"]), reporter(err) as progress:
            step = _next(asked, home, store, resume)
            _finish(step, home, store, progress)
    result = read_result(store, step.run_id)
    assert isinstance(result, Scored), "the run's kind decides"
    if style is ListFormat.JSON:
        print(result.model_dump_json(indent=2))
        return
    show([metrics.model_dump() for metrics in (*result.classes, result.macro, result.weighted)], style)
    out.print(
        f"accuracy {result.accuracy:.2%} ({result.accuracy_interval[0]:.2%} to {result.accuracy_interval[1]:.2%}, "
        f"Wilson, 95%) on {result.images:,} images; log loss {result.log_loss:.4f}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    if untested := [one.name for one in result.classes if not one.support]:
        rest = f"macro is the mean of the other {len(result.classes) - len(untested)}"
        out.print(f"no test image of {class_names(untested)}; {rest}", markup=False, highlight=False, soft_wrap=True)
    out.print(f"predictions: {store.path('results', step.run_id) / 'predictions'}", highlight=False, soft_wrap=True)


def _next(asked: EvaluateServedSpec, home: Home, store: Store, resume: bool) -> Step:
    """The first of equal evaluations that is new, or still under way.

    One that ended without a result is passed over: its answers may be those of another model. `resume` goes on with it.
    """
    with EvaluatorClient(home.directory.target("evaluator")) as client:
        while True:
            step = Step(asked, "evaluator", asked.model)
            if not store.has("results", step.run_id):
                try:
                    state = client.get(step.run_id).state
                except NotFoundError:
                    return step
                if resume or state not in TERMINAL:
                    return step
            asked = asked.model_copy(update={"repeat": asked.repeat + 1})


def _finish(step: Step, home: Home, store: Store, progress: Reporter) -> None:
    def show_event(event: run_pb2.RunEvent) -> None:
        if event.HasField("progress"):
            now = event.progress
            progress.progress(step, now.phase, now.done, now.total, dict(now.values))

    progress.plan({step.group: 1})
    with EvaluatorClient(home.directory.target("evaluator")) as client:
        try:
            client.create(step.run_id, step.spec)
            run = client.finish(step.run_id, show_event)
        except KeyboardInterrupt:
            client.cancel(step.run_id)
            raise
    raise_unless_succeeded(run)
    if not store.has("results", step.run_id):
        raise WrongStateError(
            f"run {step.run_id} succeeded, but its result is not in {store.url}: is it the evaluator's store?"
        )
    progress.finished(step, "done", "")


def _published(home: Home, model: str, version: int | None, data: str | None, given: dict[str, Any]) -> EvaluateSpec:
    repository = home.open_repository(model)
    artifact = repository.artifact(model, version or repository.latest(model))
    return EvaluateSpec.model_validate(
        {
            **given,
            "model": model,
            "version": artifact.version,
            "artifact": artifact.digest,
            "runtime": choose_runtime(artifact.format, given["runtime"]),
            "data": _fingerprint(home.open_store(), data) if data else artifact.data_fingerprint,
        }
    )


def _served(
    store: Store, model: str, version: int | None, data: str | None, given: dict[str, Any]
) -> EvaluateServedSpec:
    if data is None:
        raise InvalidInputError(
            "what another server was trained on is not known here: give --data, an experiment or a fingerprint of "
            f"prepared data; there are: {_known(store)}"
        )
    try:
        return EvaluateServedSpec.model_validate(
            {**given, "model": model, "version": version, "data": _fingerprint(store, data)}
        )
    except pydantic.ValidationError as error:
        raise InvalidInputError(f"options are not valid: {explain(error)}") from error


def _fingerprint(store: Store, data: str) -> str:
    """The prepared data that a fingerprint, the start of one, or an experiment's name means."""
    prepared = store.ids("prepared")
    found = [one for one in prepared if len(data) >= SHORTEST_PREFIX and one.startswith(data)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidInputError(f"--data {data} is the start of several: {', '.join(found)}")
    try:
        summary = find_summary(data)
    except NotFoundError:
        raise NotFoundError(
            f"no prepared data and no experiment {data!r} here; prepared data: {_known(store)}"
        ) from None
    if summary.data is None:
        raise NotFoundError(f"experiment {data!r} has no prepared data; run it again")
    return summary.data.fingerprint


def _known(store: Store) -> str:
    return ", ".join(f"{one[:12]}…" for one in store.ids("prepared")) or "none yet; bakeoff run prepares some"
