from pathlib import Path

from core.schemas.data import FolderSource
from core.schemas.experiment import Experiment
from core.schemas.specs import OriginalsSpec
from services.orchestrator import steps
from services.orchestrator.experiment_file import read_experiment

DIGITS = Path(__file__).parents[4] / "experiments/digits.yaml"
DATA = "0" * 64
DIGEST = "digest of the source"


def experiment(*overrides: str) -> Experiment:
    return read_experiment(DIGITS, overrides)


def test_a_step_has_the_same_id_whenever_it_is_planned() -> None:
    first, again = (steps.train_steps(experiment(), DATA, DIGEST) for _ in range(2))
    assert [step.run_id for step in first] == [step.run_id for step in again]
    assert len({step.run_id for step in first}) == len(first) == 2 * 2 * 4


def test_what_a_training_does_not_depend_on_does_not_change_its_id() -> None:
    plain = steps.train_steps(experiment(), DATA, DIGEST)[0]
    other = steps.train_steps(experiment("title=Other", "loadtest.users=3", "seeds=[0]"), DATA, DIGEST)[0]
    assert plain.run_id == other.run_id


def test_other_data_or_another_recipe_is_another_training() -> None:
    plain = steps.train_steps(experiment(), DATA, DIGEST)[0]
    assert steps.train_steps(experiment(), "1" * 64, DIGEST)[0].run_id != plain.run_id
    assert steps.train_steps(experiment("arms.matched.recipe.epochs=3"), DATA, DIGEST)[0].run_id != plain.run_id


def test_seeds_after_the_first_are_exported_as_onnx_alone() -> None:
    trainings = steps.train_steps(experiment(), DATA, DIGEST)
    formats = {(step.spec.framework, step.spec.seed): step.spec.formats for step in trainings}  # type: ignore[union-attr]
    assert formats["keras", 0] == ("keras", "savedmodel", "onnx")
    assert formats["keras", 1] == ("onnx",)


def test_only_the_services_of_the_experiment_are_needed() -> None:
    only = experiment("frameworks=[pytorch]", "formats={pytorch: [onnx]}")
    assert steps.services_needed(only) == ["trainer-pytorch", "evaluator", "serving-onnxruntime"]


def test_the_frameworks_own_pipelines_are_told_where_the_originals_are() -> None:
    folder = experiment("data.source={kind: folder, path: /pictures}")
    planned = {step.spec.arm: step.spec.originals for step in steps.train_steps(folder, DATA, DIGEST)}  # type: ignore[union-attr]
    assert planned["matched"] is None
    assert planned["idiomatic"] == OriginalsSpec(source=FolderSource(path="/pictures"), digest=DIGEST)


def test_the_built_in_digits_are_arrays_in_every_mode() -> None:
    assert all(step.spec.originals is None for step in steps.train_steps(experiment(), DATA, DIGEST))  # type: ignore[union-attr]
