from pathlib import Path

from core.schemas.data import FolderSource
from core.schemas.experiment import Experiment
from core.schemas.results import TrainResult
from core.schemas.specs import EvaluateSpec, LoadTestSpec, OriginalsSpec, QuantizeSpec
from services.orchestrator import steps
from services.orchestrator.experiment_file import read_experiment
from tests.unit.evaluator import builder

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


def test_a_search_knows_the_networks_of_its_trials() -> None:
    space = "{architecture: [mlp, digits-cnn], recipe.batch_size: [16]}"
    plan = f"search={{arm: matched, framework: keras, method: grid, space: {space}}}"
    assert steps.searched_architectures(experiment(plan)) == ("mlp", "digits-cnn")
    assert steps.searched_architectures(experiment()) == ()


EVERY = "variants=[int8, openvino, openvino-bf16]"


def trained(seed: int = 0, arm: str = "matched") -> TrainResult:
    """A training of PyTorch with its .pt2 and ONNX artefacts."""
    results = builder.Experiment(arms=(arm,), frameworks=("pytorch",), seeds=(seed,), load_tests=False).results
    return next(result for result in results if isinstance(result, TrainResult))


def test_an_experiment_without_variants_quantises_and_serves_nothing_more() -> None:
    assert steps.quantize_steps(experiment(), trained()) == []
    assert steps.runtime_subjects(experiment(), trained()) == []
    assert [subject.runtime for subject in steps.plain_subjects(trained())] == ["pytorch", "onnxruntime"]


def test_int8_is_made_of_the_onnx_artefact_by_the_trainer_of_its_framework() -> None:
    (step,) = steps.quantize_steps(experiment(EVERY), trained())
    (onnx,) = (model for model in trained().models if model.format == "onnx")
    assert step.service == "trainer-pytorch"
    assert isinstance(step.spec, QuantizeSpec)
    assert (step.spec.model, step.spec.artifact) == (onnx.name, onnx.artifact)
    assert step.run_id == steps.quantize_steps(experiment("variants=[int8]"), trained())[0].run_id


def test_other_runtimes_get_the_same_artefact_and_steps_of_their_own() -> None:
    wanted = experiment(EVERY, "evaluate.corruptions=[noise]")
    subjects = [*steps.plain_subjects(trained())[1:], *steps.runtime_subjects(wanted, trained())]
    scored = [steps.evaluate_step(wanted, subject, DATA) for subject in subjects]
    specs = [step.spec for step in scored if isinstance(step.spec, EvaluateSpec)]
    assert [spec.runtime for spec in specs] == ["onnxruntime", "openvino", "openvino-bf16"]
    assert len({spec.artifact for spec in specs}) == 1
    assert len({step.run_id for step in scored}) == len({step.label for step in scored}) == 3
    assert [bool(spec.corruptions) for spec in specs] == [True, False, True]  # openvino computes what onnxruntime does
    loads = [steps.loadtest_spec(wanted, subject, DATA) for subject in subjects]
    services = [steps.load_step(spec).service for spec in loads if isinstance(spec, LoadTestSpec)]
    assert services == ["serving-onnxruntime", "serving-openvino", "serving-openvino-bf16"]


def test_variants_are_for_the_first_seed_and_for_arms_that_are_written() -> None:
    wanted = experiment(EVERY)
    for other in (trained(seed=1), trained(arm="matched-a1")):
        assert steps.quantize_steps(wanted, other) == []
        assert steps.runtime_subjects(wanted, other) == []


def test_a_framework_without_onnx_has_no_variants() -> None:
    wanted = experiment(EVERY, "formats={pytorch: [pt2]}")
    assert steps.quantize_steps(wanted, trained()) == []
    assert steps.runtime_subjects(wanted, trained()) == []


def test_the_servers_of_variants_are_needed_only_where_they_are_asked_for() -> None:
    only = ("frameworks=[pytorch]", "formats={pytorch: [onnx]}")
    assert "serving-openvino" not in steps.services_needed(experiment(*only, "variants=[int8]"))
    needed = steps.services_needed(experiment(*only, "variants=[int8, openvino]"))
    assert needed == ["trainer-pytorch", "evaluator", "serving-onnxruntime", "serving-openvino"]


def test_an_arm_is_trained_by_its_own_frameworks_with_their_services() -> None:
    one = "{architecture: digits-cnn, recipe: {epochs: 1}, frameworks: [keras]}"
    arms = f"arms={{one: {one}, two: {one.replace('keras', 'pytorch')}}}"
    found = experiment("frameworks=[keras, pytorch]", "loadtest=null", arms)
    planned = [(step.spec.arm, step.spec.framework) for step in steps.train_steps(found, DATA, DIGEST)]  # type: ignore[union-attr]
    assert planned == [("one", "keras"), ("one", "keras"), ("two", "pytorch"), ("two", "pytorch")]
    assert set(steps.services_needed(found)) >= {"trainer-keras", "trainer-pytorch", "serving-tensorflow"}


def test_the_other_split_is_other_data_for_arms_of_their_own() -> None:
    found = experiment("other_split={split: {policy: contiguous}, arms: [matched]}")
    other = steps.other_data(found)
    assert other is not None
    assert other.split == found.data.split.model_copy(update={"policy": "contiguous"})
    assert other.model_copy(update={"split": found.data.split}) == found.data
    own, others = steps.train_steps(found, DATA, DIGEST), steps.other_train_steps(found, "1" * 64, DIGEST)
    assert {step.spec.arm for step in others} == {"matched-contiguous"}  # type: ignore[union-attr]
    assert {(step.spec.data, step.spec.formats) for step in others} == {("1" * 64, ("onnx",))}  # type: ignore[union-attr]
    assert len({step.run_id for step in (*own, *others)}) == len(own) + len(others)
    assert steps.other_data(experiment()) is None
    assert steps.other_train_steps(experiment(), DATA, DIGEST) == []
