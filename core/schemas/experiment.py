"""The experiment file: science only. Where services, stores and devices are is the environment's business."""

from typing import Annotated, Any, Literal, cast

import pydantic

from core.errors import NotFoundError
from core.formats import EXPORTS
from core.networks import check_network
from core.schemas.attribution import AttributionPlan
from core.schemas.base import Name, Schema
from core.schemas.data import DataSpec, SplitSpec
from core.schemas.recipe import Recipe, complete
from core.schemas.scenarios import Traffic
from core.schemas.search import SearchPlan
from core.schemas.specs import FRAMEWORKS, Corruption, FormatName, Framework, VariantName
from core.schemas.study import Study

FULL = "full"
"""The size an experiment has as it is written."""

VERDICT_SEEDS = (0, 1, 2, 3, 4)
"""Of an experiment that repeats a study and names none."""

Seed = Annotated[int, pydantic.Field(ge=0, lt=2**31)]


def _network(name: str) -> str:
    try:
        return check_network(name)
    except NotFoundError as error:
        raise ValueError(str(error)) from error


def other_arm(arm: str, policy: str) -> str:
    """Name of what an arm is called on another split."""
    return f"{arm}-{policy}"


def _completed_split(document: dict[str, Any]) -> dict[str, Any]:
    """`other_split` with the keys of `data.split` that it does not write; nothing where there is no such mapping."""
    other, data = document.get("other_split"), document.get("data")
    if not isinstance(other, dict) or not isinstance(other.get("split"), dict):
        return {}
    if isinstance(data, DataSpec):
        data = data.model_dump()
    own = data.get("split", {}) if isinstance(data, dict) else {}
    if not isinstance(own, dict):
        return {}
    if other["split"].get("policy") != "given":
        own = {key: value for key, value in own.items() if key != "own_validation"}
    return {"other_split": {**other, "split": {**own, **other["split"]}}}


Network = Annotated[str, pydantic.AfterValidator(_network)]
"""The name of a network there is."""


class Arm(Schema):
    """One side of the comparison: network, mode and recipe."""

    architecture: Network
    mode: Literal["matched", "idiomatic"] = "matched"
    recipe: Recipe
    frameworks: tuple[Framework, ...] | None = pydantic.Field(None, min_length=1)
    """What trains it; default: all frameworks of the experiment."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _complete_recipe(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("recipe"), dict):
            return data
        return {**data, "recipe": complete(str(data.get("mode", "matched")), data["recipe"])}

    @pydantic.model_validator(mode="after")
    def _one_mode(self) -> "Arm":
        if self.recipe.mode != self.mode:
            raise ValueError(
                f"recipe.mode is {self.recipe.mode}, the arm's mode {self.mode}; write the mode on the arm only"
            )
        return self


class EvaluatePlan(Schema):
    """How artefacts are scored."""

    batch_size: int = pydantic.Field(64, ge=1, le=64)
    calibrate: bool = True
    """Fit a temperature and, with two classes, choose a threshold on the validation split."""
    corruptions: tuple[Corruption, ...] = ()
    """Score the ONNX artefacts of the first seed under each of these too, at five severities."""


class LoadTestPlan(Traffic):
    """How served artefacts of the first seed are load-tested."""

    arms: tuple[Name, ...] | None = None
    """Default: all."""
    batch_size: int = pydantic.Field(1, ge=1, le=64)
    repeats: int = pydantic.Field(1, ge=1, le=100)
    """Measurements of each artefact, interleaved: every artefact once, then every artefact again."""
    sweep: Annotated[int, pydantic.Field(ge=6, le=50)] | tuple[Annotated[float, pydantic.Field(gt=0)], ...] | None = (
        None
    )
    """Rates of a saturation curve (scenario server): queries per second, or how many between 20 and 110 % of what the
    artefact answered in a closed loop."""
    search: bool = False
    """Look for the highest rate whose p99 stays within `bound_ms`."""

    @pydantic.model_validator(mode="after")
    def _searchable(self) -> "LoadTestPlan":
        if self.search and self.bound_ms is None:
            raise ValueError("search looks for the highest rate within bound_ms, in milliseconds; give it")
        if isinstance(self.sweep, tuple) and not self.sweep:
            raise ValueError("sweep is empty; give rates in queries per second, or a number of them from 6 on")
        return self


class OtherSplit(Schema):
    """The same images divided another way, to show how far the experiment's own split flatters."""

    split: SplitSpec
    """Keys that are not written are those of `data.split`."""
    arms: tuple[Name, ...] | None = pydantic.Field(None, min_length=1)
    """Which arms are trained and scored on it too, as ONNX; default: all that are written."""


class Experiment(Schema):
    """An experiment file with every default explicit."""

    schema_version: Literal[1] = 1
    name: Name
    title: str
    description: str = ""
    scale: Name = FULL
    """Which of the file's `scales` this is. The names of arms, and so of models, end in any but the full one."""
    study: Study | None = None
    """The published study this experiment repeats."""
    data: DataSpec
    arms: dict[Name, Arm] = pydantic.Field(min_length=1)
    frameworks: tuple[Framework, ...] = pydantic.Field(FRAMEWORKS, min_length=1)
    seeds: tuple[Seed, ...] = pydantic.Field((0,), min_length=1)
    """Default: one, and five where a study is repeated, whose verdicts need at least three."""
    formats: dict[Framework, tuple[FormatName, ...]] = pydantic.Field(default_factory=dict)
    """Formats of the first seed by framework; default: all it exports. Other seeds are exported and scored as ONNX."""
    variants: tuple[VariantName, ...] = ()
    """What else is made of the ONNX artefacts of the first seed, and scored and load-tested: an int8 model, or other
    runtimes."""
    search: SearchPlan | None = None
    """Trains trials of one arm instead of the arms; the best one is scored."""
    attribution: AttributionPlan | None = None
    """Adds an arm for each switch between two of the arms; these train two frameworks and are scored as ONNX only."""
    other_split: OtherSplit | None = None
    """Trains arms on the images divided another way too; they are compared in a section of their own."""
    evaluate: EvaluatePlan = EvaluatePlan()
    loadtest: LoadTestPlan | None = LoadTestPlan()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _complete(cls, document: Any) -> Any:
        if not isinstance(document, dict):
            return document
        seeds = {"seeds": VERDICT_SEEDS} if document.get("study") and "seeds" not in document else {}
        return {**document, **seeds, **_completed_split(document)}

    @pydantic.field_validator("variants")
    @classmethod
    def _distinct(cls, value: tuple[VariantName, ...]) -> tuple[VariantName, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"has duplicates: {list(value)}")
        return value

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> "Experiment":
        for key, values in (("frameworks", self.frameworks), ("seeds", self.seeds)):
            if len(set(values)) != len(values):
                raise ValueError(f"{key} has duplicates: {list(values)}")
        for framework, formats in self.formats.items():
            if len(set(formats)) != len(formats):
                raise ValueError(f"formats.{framework} has duplicates: {list(formats)}")
            if foreign := sorted(set(formats) - set(EXPORTS[framework])):
                raise ValueError(
                    f"formats.{framework}: {foreign} not among what it exports: {list(EXPORTS[framework])}"
                )
        unknown = sorted(set((self.loadtest and self.loadtest.arms) or ()) - self.arms.keys())
        if unknown:
            raise ValueError(f"loadtest.arms names {unknown}; the arms are {sorted(self.arms)}")
        self._check_frameworks()
        self._check_variants()
        self._check_claims()
        self._check_attribution()
        self._check_search()
        self._check_other_split()
        self._check_names()
        return self

    @property
    def report_name(self) -> str:
        """Folder of its report: each scale has its own."""
        return self.name if self.scale == FULL else f"{self.name}-{self.scale}"

    @property
    def all_arms(self) -> dict[str, Arm]:
        """The arms that are written and those that the attribution adds."""
        if self.attribution is None:
            return self.arms
        start, end = (self.arms[name] for name in self.attribution.arms)
        recipes = self.attribution.recipes(start.recipe, end.recipe)
        return {**self.arms, **{name: start.model_copy(update={"recipe": recipe}) for name, recipe in recipes.items()}}

    @property
    def other_arms(self) -> dict[str, Arm]:
        """What is trained on the other split: names that end in its policy."""
        if (plan := self.other_split) is None:
            return {}
        return {other_arm(name, plan.split.policy): self.arms[name] for name in plan.arms or self.arms}

    def frameworks_of(self, arm: str) -> tuple[Framework, ...]:
        """What trains an arm."""
        if (one := (self.arms | self.other_arms).get(arm)) is None:
            return self.frameworks if self.attribution is None else self.attribution.between
        return one.frameworks or self.frameworks

    def formats_of(self, framework: Framework, seed: int, arm: str | None = None) -> tuple[FormatName, ...]:
        """What a training exports; without `arm`, that of an arm that is written."""
        if seed != self.seeds[0] or not (arm is None or arm in self.arms):
            return ("onnx",)
        return self.formats.get(framework) or cast(tuple[FormatName, ...], EXPORTS[framework])

    def variants_of(self, framework: Framework, seed: int, arm: str) -> tuple[VariantName, ...]:
        """What else is made of the ONNX artefact of a training; the arms that an attribution adds have none."""
        written = arm in self.arms or self.search is not None
        if seed != self.seeds[0] or not written or "onnx" not in self.formats_of(framework, seed, arm):
            return ()
        return self.variants

    def _check_frameworks(self) -> None:
        for name, arm in self.arms.items():
            own = arm.frameworks or ()
            if unknown := sorted(set(own) - set(self.frameworks)):
                raise ValueError(
                    f"arms.{name}.frameworks names {unknown}; those of the experiment are {list(self.frameworks)}"
                )
            if len(set(own)) != len(own):
                raise ValueError(f"arms.{name}.frameworks has duplicates: {list(own)}")
        if idle := sorted(
            set(self.frameworks) - {one for arm in self.arms.values() for one in arm.frameworks or self.frameworks}
        ):
            raise ValueError(f"frameworks names {idle}, which no arm trains; leave them out or add them to an arm")

    def _check_variants(self) -> None:
        exported = (self.formats_of(framework, self.seeds[0]) for framework in self.frameworks)
        if self.variants and not self.search and not any("onnx" in formats for formats in exported):
            raise ValueError("variants are made of ONNX artefacts; add onnx to formats")

    def _check_claims(self) -> None:
        for number, claim in enumerate(self.study.claims if self.study else ()):
            if unknown := sorted({arm for side in claim.sides for arm in side.arms} - self.arms.keys()):
                raise ValueError(f"study.claims.{number} names {unknown}; the arms are {sorted(self.arms)}")

    def _check_attribution(self) -> None:
        if (plan := self.attribution) is None:
            return
        if unknown := sorted(set(plan.arms) - self.arms.keys()):
            raise ValueError(f"attribution.arms names {unknown}; there are {sorted(self.arms)}")
        for name in plan.arms:
            if unknown := sorted(set(plan.between) - set(self.frameworks_of(name))):
                known = sorted(self.frameworks_of(name))
                raise ValueError(f"attribution.between names {unknown}; arm {name} is trained by {known}")
        if len({self.arms[name].architecture for name in plan.arms}) > 1:
            raise ValueError(f"attribution.arms {list(plan.arms)} have different networks; only recipes are compared")
        try:
            plan.recipes(*(self.arms[name].recipe for name in plan.arms))
        except ValueError as error:
            raise ValueError(f"attribution.order: {error}") from error
        if clash := sorted(self.arms.keys() & {*plan.steps, *plan.singles}):
            raise ValueError(f"arms {clash} have names that attribution gives to arms of its own; rename them")

    def _longest_trial(self) -> tuple[str, ...]:
        if (plan := self.search) is None:
            return ()
        fold = f"-f{plan.folds - 1}" if plan.folds else ""
        return (f"{plan.arm}-t{plan.count - 1}{fold}",)

    def _check_search(self) -> None:
        if (plan := self.search) is None:
            return
        if self.attribution is not None:
            raise ValueError("search and attribution are two experiments; leave one out")
        if plan.arm not in self.arms or plan.framework not in self.frameworks_of(plan.arm):
            raise ValueError(
                f"search.arm {plan.arm!r} or search.framework {plan.framework!r} is not there; the arms are "
                f"{sorted(self.arms)}, the frameworks {list(self.frameworks_of(plan.arm))}"
            )
        if plan.folds is not None and self.data.split.folds is not None:
            raise ValueError("search.folds goes through every fold; leave data.split.folds out")
        if plan.folds is not None and isinstance(self.data.split.validation, int):
            raise ValueError(
                f"data.split.validation {self.data.split.validation} has no meaning with search.folds, which are the "
                "validation split; leave it out"
            )
        document = self.arms[plan.arm].model_dump()
        if fixed := sorted({"mode", "recipe.mode", "frameworks"} & plan.space.keys()):
            raise ValueError(
                f"search.space: {fixed[0]} is that of the arm and cannot be drawn; search two arms in turn"
            )
        for key in plan.space:
            node: Any = document
            for number, part in enumerate(parts := key.split(".")):
                if not isinstance(node, dict) or part not in node:
                    above = ".".join(parts[:number])
                    there = (
                        f"where {part!r} is, it has {', '.join(node)}"
                        if isinstance(node, dict)
                        else f"{above} is {node}"
                    )
                    raise ValueError(f"search.space: the arm as it is written has no key {key!r}; {there}")
                node = node[part]
        for key in plan.space:
            if inner := [other for other in plan.space if other.startswith(f"{key}.")]:
                raise ValueError(f"search.space: {key} holds {', '.join(inner)}; draw one or the other")

    def _check_other_split(self) -> None:
        if (plan := self.other_split) is None:
            return
        if self.search is not None:
            raise ValueError("search and other_split are two experiments; leave one out")
        if unknown := sorted(set(plan.arms or ()) - self.arms.keys()):
            raise ValueError(f"other_split.arms names {unknown}; the arms are {sorted(self.arms)}")
        if plan.split.policy == self.data.split.policy:
            raise ValueError(
                f"other_split.split.policy is {plan.split.policy} as data.split's; compare it with another"
            )
        if self.data.limit is not None:
            raise ValueError(
                f"other_split and data.limit {self.data.limit} do not go together: a limit takes other images of each "
                "policy, so not the split alone would differ; leave one out"
            )
        if clash := sorted(self.all_arms.keys() & self.other_arms.keys()):
            raise ValueError(f"arms {clash} have names that other_split gives to arms of its own; rename them")

    def _check_names(self) -> None:
        """Model names are labels of at most 63 characters; the longest one decides."""
        for arm in (*self.all_arms, *self.other_arms, *self._longest_trial()):
            for framework in self.frameworks_of(arm):
                for seed in self.seeds:
                    for fmt in self.formats_of(framework, seed, arm):
                        int8 = fmt == "onnx" and "int8" in self.variants_of(framework, seed, arm)
                        name = f"{self.name}-{arm}-{framework}-s{seed}-{fmt}{'-int8' if int8 else ''}"
                        if len(name) > 63:
                            raise ValueError(
                                f"model name {name!r} has {len(name)} characters, 63 are allowed; shorten name or arm"
                            )
