"""The steps of an experiment, each with the id its result object has in the store."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from core.formats import OTHER_RUNTIMES, get_format
from core.schemas.base import content_id
from core.schemas.data import DataSpec
from core.schemas.experiment import Arm, Experiment, LoadTestPlan
from core.schemas.recipe import Recipe
from core.schemas.results import PublishedModel, QuantizeResult, TrainResult
from core.schemas.scenarios import Traffic
from core.schemas.search import Range, SearchOutcome
from core.schemas.specs import (
    EvaluateServedSpec,
    EvaluateSpec,
    FindRateSpec,
    LoadTestSpec,
    OriginalsSpec,
    PrepareSpec,
    QuantizeSpec,
    ReportSpec,
    RuntimeName,
    TrainSpec,
)

Spec = (
    PrepareSpec
    | TrainSpec
    | QuantizeSpec
    | FindRateSpec
    | EvaluateSpec
    | EvaluateServedSpec
    | LoadTestSpec
    | ReportSpec
)


@dataclass(frozen=True)
class Subject:
    """One artefact of a training, as one runtime serves it."""

    trained: TrainResult
    model: PublishedModel
    runtime: str
    variant: bool = False
    """Made or served because of the experiment's `variants`."""

    @property
    def label(self) -> str:
        """The model; with its runtime where that is not the format's own."""
        return served_label(self.model.name, self.runtime)


def served_label(model: str, runtime: str) -> str:
    """`digits-matched-keras-s0-onnx`, `digits-matched-keras-s0-onnx on openvino`."""
    return f"{model} on {runtime}" if runtime in OTHER_RUNTIMES else model


@dataclass(frozen=True)
class Step:
    """One piece of work and the service that does it."""

    spec: Spec
    service: str
    label: str
    """For people, for example "matched keras s0"."""

    @property
    def run_id(self) -> str:
        """Depends on the spec alone, which names its inputs by fingerprint."""
        return content_id(self.spec.kind, self.spec)

    @property
    def group(self) -> str:
        """Which progress line the step belongs to: its framework, or its kind."""
        return self.spec.framework if isinstance(self.spec, TrainSpec | FindRateSpec) else self.spec.kind


def prepare_step(data: DataSpec, digest: str, framework: str) -> Step:
    """Any trainer can prepare; the first framework of the experiment does."""
    return Step(PrepareSpec(data=data, source_digest=digest), f"trainer-{framework}", "data")


def data_of(experiment: Experiment) -> list[DataSpec]:
    """The data to prepare: one set, or one for each fold of a cross-validation."""
    data, folds = experiment.data, experiment.search.folds if experiment.search else None
    if folds is None:
        return [data]
    splits = [data.split.model_copy(update={"folds": folds, "fold": fold}) for fold in range(folds)]
    return [data.model_copy(update={"split": split}) for split in splits]


def other_data(experiment: Experiment) -> DataSpec | None:
    """The images divided the other way, where the experiment asks for it."""
    plan = experiment.other_split
    return experiment.data.model_copy(update={"split": plan.split}) if plan else None


def train_steps(experiment: Experiment, fingerprint: str, digest: str) -> list[Step]:
    """Every arm × seed × framework; the frameworks of one arm and seed follow each other."""
    return _train_steps(experiment, experiment.all_arms, fingerprint, digest)


def other_train_steps(experiment: Experiment, fingerprint: str, digest: str) -> list[Step]:
    """The same of what is trained on the other split, given its fingerprint."""
    return _train_steps(experiment, experiment.other_arms, fingerprint, digest)


def _train_steps(experiment: Experiment, arms: Mapping[str, Arm], fingerprint: str, digest: str) -> list[Step]:
    return [
        Step(
            TrainSpec(
                experiment=experiment.name,
                arm=name,
                framework=framework,
                seed=seed,
                architecture=arm.architecture,
                data=fingerprint,
                recipe=arm.recipe,
                formats=experiment.formats_of(framework, seed, name),
                originals=originals(experiment.data, digest, arm.recipe),
            ),
            f"trainer-{framework}",
            f"{name} {framework} s{seed}",
        )
        for name, arm in arms.items()
        for seed in experiment.seeds
        for framework in experiment.frameworks_of(name)
    ]


def originals(data: DataSpec, digest: str, recipe: Recipe) -> OriginalsSpec | None:
    """What a framework's own loaders read; built-in digits are arrays already."""
    if recipe.pipeline == "shared" or data.source.kind == "digits":
        return None
    return OriginalsSpec(source=data.source, digest=digest)


def plain_subjects(trained: TrainResult) -> list[Subject]:
    """Every artefact of a training on the runtime of its format."""
    return [Subject(trained, model, get_format(model.format).runtime) for model in trained.models]


def quantize_steps(experiment: Experiment, trained: TrainResult) -> list[Step]:
    """Makes the int8 model of a training's ONNX artefact, where the experiment asks for it; its own trainer does."""
    return [
        Step(
            QuantizeSpec(model=model.name, version=model.version, artifact=model.artifact, data=trained.spec.data),
            f"trainer-{trained.spec.framework}",
            model.name,
        )
        for model in _varied(experiment, trained)
        if "int8" in experiment.variants
    ]


def int8_subject(trained: TrainResult, quantized: QuantizeResult) -> Subject:
    """The int8 model that a quantize step made."""
    return Subject(trained, quantized.model, get_format(quantized.model.format).runtime, variant=True)


def runtime_subjects(experiment: Experiment, trained: TrainResult) -> list[Subject]:
    """The ONNX artefact of a training on each further runtime the experiment asks for."""
    runtimes = [variant for variant in experiment.variants if variant in OTHER_RUNTIMES]
    varied = _varied(experiment, trained)
    return [Subject(trained, model, runtime, variant=True) for model in varied for runtime in runtimes]


def _varied(experiment: Experiment, trained: TrainResult) -> list[PublishedModel]:
    spec = trained.spec
    asked = experiment.variants_of(spec.framework, spec.seed, spec.arm)
    return [model for model in trained.models if asked and model.format == "onnx"]


def other_evaluate_step(experiment: Experiment, subject: Subject) -> Step:
    """Scores a model of the other split on it, for its accuracy alone."""
    step = evaluate_step(experiment, subject, subject.trained.spec.data)
    return replace(step, spec=step.spec.model_copy(update={"calibrate": False, "corruptions": ()}))


def evaluate_step(experiment: Experiment, subject: Subject, fingerprint: str) -> Step:
    """Scores one published model as it is served.

    Corruptions are scored for ONNX of the first seed, once for each precision: what they change is the network's doing
    and its numbers', not that of a format or of another runtime with the same numbers.
    """
    plan, model = experiment.evaluate, subject.model
    first_seed = subject.trained.spec.seed == experiment.seeds[0]
    corrupted = first_seed and model.format == "onnx" and subject.runtime != "openvino"
    spec = EvaluateSpec(
        model=model.name,
        version=model.version,
        artifact=model.artifact,
        runtime=cast(RuntimeName, subject.runtime),
        data=fingerprint,
        batch_size=plan.batch_size,
        calibrate=plan.calibrate,
        corruptions=plan.corruptions if corrupted else (),
    )
    return Step(spec, "evaluator", subject.label)


def loadtest_spec(experiment: Experiment, subject: Subject, fingerprint: str) -> LoadTestSpec | None:
    """How one published model of the first seed is loaded; None where the experiment does not ask for it."""
    plan, trained, model = experiment.loadtest, subject.trained, subject.model
    if plan is None or trained.spec.seed != experiment.seeds[0]:
        return None
    if trained.spec.arm not in (experiment.arms if plan.arms is None else plan.arms):
        return None
    return load_spec(plan, model.name, model.version, model.artifact, subject.runtime, fingerprint)


def load_spec(
    plan: LoadTestPlan, model: str, version: int, artifact: str, runtime: str, fingerprint: str
) -> LoadTestSpec:
    """A plan's scenario for one artefact."""
    own = plan.model_dump(include=set(Traffic.model_fields))
    subject = {"model": model, "version": version, "artifact": artifact, "runtime": runtime, "data": fingerprint}
    return LoadTestSpec.model_validate(own | subject)


def load_step(spec: LoadTestSpec) -> Step:
    """The step that measures one point; its label tells points of one model apart."""
    own = f" at {spec.rate:g}/s" if spec.rate is not None else f" {spec.scenario}" if spec.scenario != "closed" else ""
    own += " by Locust" if spec.generator == "locust" else ""
    again = f" #{spec.repeat + 1}" if spec.repeat else ""
    return Step(spec, f"serving-{spec.runtime}", f"{served_label(spec.model, spec.runtime)}{own}{again}")


def report_step(
    experiment: Experiment,
    results: tuple[str, ...],
    state: str,
    missing: tuple[str, ...],
    search: SearchOutcome | None = None,
    other_split: tuple[str, ...] = (),
) -> Step:
    """The report over what there is, in the state it is in (`core.results.state`)."""
    spec = ReportSpec(
        experiment=experiment.report_name,
        title=experiment.title,
        description=experiment.description,
        spec_json=experiment.model_dump_json(),
        results=results,
        state=state,
        missing=missing,
        search=search,
        other_split=other_split,
    )
    return Step(spec, "evaluator", "report")


def searched_architectures(experiment: Experiment) -> tuple[str, ...]:
    """Names of the networks that trials of a search may have."""
    values = experiment.search.space.get("architecture", ()) if experiment.search else ()
    return () if isinstance(values, Range) else tuple(map(str, values))


def services_needed(experiment: Experiment) -> list[str]:
    """Every service the experiment talks to."""
    runtimes = (
        {"onnxruntime"}
        if experiment.search
        else {
            get_format(fmt).runtime
            for seed in experiment.seeds
            for arm in experiment.all_arms
            for framework in experiment.frameworks_of(arm)
            for fmt in experiment.formats_of(framework, seed, arm)
        }
    )
    runtimes |= {"onnxruntime"} if experiment.other_split else set()
    runtimes |= {variant for variant in experiment.variants if variant in OTHER_RUNTIMES}
    trainers = [f"trainer-{framework}" for framework in experiment.frameworks]
    return [*trainers, "evaluator", *(f"serving-{runtime}" for runtime in sorted(runtimes))]
