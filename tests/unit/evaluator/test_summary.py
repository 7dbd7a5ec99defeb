import numpy as np
import pytest

from core.schemas.results import EvaluateResult, LoadTestResult, TrainResult
from core.schemas.summary import Row, Summary
from evaluator.report.recipes import describe_recipe
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment, changed, environment


def summary_of(experiment: Experiment) -> Summary:
    return summarise(experiment.spec, experiment.results, experiment.probabilities, experiment.labels)


def row_of(summary: Summary, model: str) -> Row:
    return next(row for row in summary.rows if row.model == model)


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return Experiment()


@pytest.fixture(scope="module")
def summary(experiment: Experiment) -> Summary:
    return summary_of(experiment)


def test_every_served_artefact_becomes_one_row(summary: Summary, experiment: Experiment) -> None:
    evaluations = [result for result in experiment.results if isinstance(result, EvaluateResult)]
    assert len(summary.rows) == len(evaluations) == 34
    assert len({row.label for row in summary.rows}) == 34
    assert summary.complete


def test_a_row_joins_training_evaluation_and_load_test(summary: Summary, experiment: Experiment) -> None:
    row = row_of(summary, "test-digits-matched-pytorch-s0-onnx")
    score = next(r for r in experiment.results if isinstance(r, EvaluateResult) and r.spec.model == row.model)
    load = next(r for r in experiment.results if isinstance(r, LoadTestResult) and r.spec.model == row.model)
    training = next(r for r in experiment.results if r.run_id == "train-test-digits-matched-pytorch-s0")
    assert isinstance(training, TrainResult)
    assert (row.accuracy, row.macro_f1, row.log_loss) == (score.accuracy, score.macro.f1, score.log_loss)
    assert row.load is not None
    assert row.load.latency_ms == load.latency_ms
    assert row.training_seconds == pytest.approx(sum(epoch.train_seconds for epoch in training.history))


def test_rows_are_sorted_by_arm_seed_framework_and_native_format_first(summary: Summary) -> None:
    first = [(row.framework, row.format) for row in summary.rows[:5]]
    assert first == [
        ("keras", "keras"),
        ("keras", "onnx"),
        ("keras", "savedmodel"),
        ("tensorflow", "savedmodel"),
        ("tensorflow", "onnx"),
    ]
    assert [row.arm for row in summary.rows] == ["matched"] * 17 + ["idiomatic"] * 17


def test_parity_compares_served_answers_with_the_native_format(summary: Summary, experiment: Experiment) -> None:
    row = row_of(summary, "test-digits-matched-keras-s0-onnx")
    native = experiment.probabilities["evaluate-test-digits-matched-keras-s0-keras"]
    onnx = experiment.probabilities["evaluate-test-digits-matched-keras-s0-onnx"]
    assert row.parity is not None
    assert row.parity.largest_difference == pytest.approx(float(np.abs(native.astype(float) - onnx).max()))
    assert row_of(summary, "test-digits-matched-keras-s0-keras").parity is None
    assert row_of(summary, "test-digits-matched-keras-s1-onnx").parity is None, "its native format was not scored"


def test_an_arm_whose_frameworks_have_batches_of_their_own_names_no_size(summary: Summary) -> None:
    sizes = {arm.name: arm.recipe.batch_size for arm in summary.arms}
    assert sizes == {"matched": 64, "idiomatic": None}
    assert "of batches of 64;" in describe_recipe(summary.arms[0])
    assert "of batches of each framework’s own size;" in describe_recipe(summary.arms[1])
    alike = Experiment(frameworks=("pytorch", "fastai"), seeds=(0,), arms=("idiomatic",), load_tests=False)
    found = summarise(alike.spec, alike.results, alike.probabilities, alike.labels)
    assert found.arms[0].recipe.batch_size == 64


def test_seeds_are_summed_up_for_each_arm_and_framework(summary: Summary) -> None:
    assert [(group.arm, group.framework) for group in summary.groups[:2]] == [
        ("matched", "keras"),
        ("matched", "tensorflow"),
    ]
    group = summary.groups[0]
    accuracies = [
        row.accuracy for row in summary.rows if (row.arm, row.framework, row.format) == ("matched", "keras", "onnx")
    ]
    assert [seed.seed for seed in group.seeds] == [0, 1, 2]
    assert group.accuracy is not None
    assert group.accuracy.mean == pytest.approx(np.mean(np.array(accuracies, float)))
    assert group.accuracy.std == pytest.approx(np.std(np.array(accuracies, float), ddof=1))


def test_an_arm_says_what_its_own_paired_tests_over_seeds_say(summary: Summary) -> None:
    for arm in summary.arms:
        tests = [one for one in summary.framework_tests if one.arm == arm.name]
        assert len(tests) == 6
        clear = any(one.test.p_adjusted is not None and one.test.p_adjusted < 0.05 for one in tests)
        assert ("is more accurate than" in arm.finding) == clear
        assert "corrected by Holm" in arm.finding


def test_every_artefact_of_the_first_seed_has_its_confusion_and_onnx_represents_arm_and_framework(
    summary: Summary,
) -> None:
    first = {index for index, row in enumerate(summary.rows) if row.seed == 0}
    assert {c.row for c in summary.classifications} == first
    assert len(summary.classifications) == len(first) == 18
    assert {(c.format, c.seed) for c in summary.representatives} == {("onnx", 0)}
    assert len({(c.arm, c.framework) for c in summary.representatives}) == len(summary.representatives) == 8
    assert summary.agreement is not None
    assert summary.agreement.rows == tuple(c.row for c in summary.representatives)
    assert all(sum(map(sum, c.confusion)) == 360 for c in summary.classifications)


def test_where_nothing_is_onnx_the_native_format_gives_the_confusion_and_no_seeds(experiment: Experiment) -> None:
    results = [r for r in experiment.results if not (isinstance(r, EvaluateResult) and r.spec.model.endswith("-onnx"))]
    found = summarise(experiment.spec, results, experiment.probabilities, experiment.labels)
    assert {c.format for c in found.classifications if c.framework == "pytorch"} == {"pt2"}
    assert {c.format for c in found.representatives if c.framework == "keras"} == {"keras"}
    assert all(group.accuracy is None for group in found.groups)


def test_equal_inputs_give_equal_bytes_and_survive_json(summary: Summary) -> None:
    again = summary_of(Experiment())
    assert again.model_dump_json() == summary.model_dump_json()
    assert Summary.model_validate_json(summary.model_dump_json()) == summary


def test_environments_that_differ_only_in_load_are_one_place(summary: Summary) -> None:
    roles = [place.roles for place in summary.places]
    assert roles[0] == ("Preparation", "Evaluation", "Load test")
    assert len(roles) == 5


def test_missing_steps_mark_the_summary_incomplete() -> None:
    found = summary_of(Experiment(missing=("train keras: lost",)))
    assert not found.complete
    assert found.missing == found.unusable == ("train keras: lost",)


def test_no_results_at_all_give_an_empty_summary() -> None:
    empty = Experiment()
    found = summarise(empty.spec, [], {}, np.empty(0, np.int64))
    assert found.rows == ()
    assert found.verdict.row is None
    assert found.data is None


def test_an_evaluation_without_a_training_is_left_out_and_named(experiment: Experiment) -> None:
    results = [r for r in experiment.results if r.run_id != "train-test-digits-matched-keras-s1"]
    found = summarise(experiment.spec, results, experiment.probabilities, experiment.labels)
    assert len(found.rows) == 33
    assert "test-digits-matched-keras-s1-onnx version 1 has no training result; left out" in found.missing[0]


def test_an_evaluation_of_other_bytes_is_left_out_and_named(experiment: Experiment) -> None:
    run_id = "evaluate-test-digits-matched-keras-s1-onnx"
    result = next(r for r in experiment.results if r.run_id == run_id)
    assert isinstance(result, EvaluateResult)
    results = changed(experiment.results, run_id, spec=result.spec.model_copy(update={"artifact": "f" * 64}))
    found = summarise(experiment.spec, results, experiment.probabilities, experiment.labels)
    assert "has other bytes than were trained" in found.missing[0]


def test_absent_predictions_cost_the_parity_but_not_the_row(experiment: Experiment) -> None:
    run_id = "evaluate-test-digits-matched-keras-s0-onnx"
    predictions = {key: value for key, value in experiment.probabilities.items() if key != run_id}
    found = summarise(experiment.spec, experiment.results, predictions, experiment.labels)
    row = row_of(found, "test-digits-matched-keras-s0-onnx")
    assert row.accuracy is not None
    assert row.parity is None
    assert found.missing == (
        f"evaluate {run_id}: its predictions are not there; {row.model} is not compared image by image",
    )


@pytest.mark.parametrize("kept", [True, False])
def test_parity_is_with_the_evaluation_of_the_native_artefact_that_its_row_shows(
    experiment: Experiment, summary: Summary, kept: bool
) -> None:
    run_id = "evaluate-test-digits-matched-keras-s0-keras"
    first = next(r for r in experiment.results if r.run_id == run_id)
    again = first.model_copy(update={"run_id": "again"})
    values = experiment.probabilities[run_id]
    predictions = experiment.probabilities | {"again": 0.9 * values + 0.01}
    if not kept:
        del predictions[run_id]
    found = summarise(experiment.spec, [*experiment.results, again], predictions, experiment.labels)
    onnx = row_of(found, "test-digits-matched-keras-s0-onnx")
    assert onnx.parity == (row_of(summary, onnx.model).parity if kept else None)


def test_predictions_that_give_another_accuracy_are_not_trusted(experiment: Experiment) -> None:
    run_id = "evaluate-test-digits-matched-keras-s0-onnx"
    predictions = experiment.probabilities | {run_id: experiment.probabilities[run_id][:, ::-1]}
    found = summarise(experiment.spec, experiment.results, predictions, experiment.labels)
    assert "its predictions give accuracy" in found.missing[0]
    assert row_of(found, "test-digits-matched-keras-s0-onnx").parity is None


def test_predictions_of_another_split_are_not_trusted(experiment: Experiment) -> None:
    run_id = "evaluate-test-digits-matched-keras-s0-onnx"
    predictions = experiment.probabilities | {run_id: experiment.probabilities[run_id][:10]}
    found = summarise(experiment.spec, experiment.results, predictions, experiment.labels)
    assert "do not fit 360 images" in found.missing[0]


def test_load_tests_with_other_settings_are_kept_but_not_joined(experiment: Experiment) -> None:
    run_id = "load-test-digits-matched-keras-s0-onnx"
    result = next(r for r in experiment.results if r.run_id == run_id)
    assert isinstance(result, LoadTestResult)
    results = changed(experiment.results, run_id, spec=result.spec.model_copy(update={"users": 99}))
    found = summarise(experiment.spec, results, experiment.probabilities, experiment.labels)
    assert row_of(found, "test-digits-matched-keras-s0-onnx").load is None
    assert any(load.users == 99 for load in found.loads)


def test_an_artefact_with_a_load_test_but_no_score_has_a_row_without_accuracy(experiment: Experiment) -> None:
    results = [r for r in experiment.results if r.run_id != "evaluate-test-digits-matched-keras-s0-onnx"]
    row = row_of(
        summarise(experiment.spec, results, experiment.probabilities, experiment.labels),
        "test-digits-matched-keras-s0-onnx",
    )
    assert row.accuracy is None
    assert row.load is not None


def test_contended_trainings_are_noted_and_left_out_of_mean_times(experiment: Experiment) -> None:
    run_id = "train-test-digits-matched-keras-s0"
    results = changed(experiment.results, run_id, environment=environment(contended=True))
    found = summarise(experiment.spec, results, experiment.probabilities, experiment.labels)
    assert found.groups[0].training_seconds is not None
    assert found.groups[0].training_seconds.count == 2
    assert any("contended" in note for note in found.notes)


def test_times_from_different_machines_are_noted(experiment: Experiment) -> None:
    run_id = "train-test-digits-matched-keras-s0"
    results = changed(experiment.results, run_id, environment=environment(host="elsewhere"))
    found = summarise(experiment.spec, results, experiment.probabilities, experiment.labels)
    assert "Trainings ran on 2 different machines, devices or quotas; their times do not compare." in found.notes


@pytest.mark.parametrize(
    ("places", "machines"),
    [
        ((("a", "boot-1"), ("b", "boot-1"), ("b", "boot-1")), 1),  # Containers of one machine.
        (
            (("a", "boot-1"), ("a", "boot-2"), ("a", "")),
            1,
        ),  # One machine, started again; results of an earlier version.
        ((("a", "boot-1"), ("b", "boot-2"), ("a", "boot-1")), 2),
    ],
)
def test_containers_of_one_machine_are_one_machine_and_so_is_one_that_was_restarted(
    places: tuple[tuple[str, str], ...], machines: int
) -> None:
    one = Experiment(arms=("matched",), frameworks=("keras",), seeds=(0, 1, 2), load_tests=False)
    results = one.results
    for seed, (host, boot) in enumerate(places):
        run_id = f"train-test-digits-matched-keras-s{seed}"
        results = changed(results, run_id, environment=environment(host=host, boot_id=boot))
    found = summarise(one.spec, results, one.probabilities, one.labels)
    expected = f"Trainings ran on {machines} different machines, devices or quotas; their times do not compare."
    assert [note for note in found.notes if "machines" in note] == ([expected] if machines > 1 else [])
