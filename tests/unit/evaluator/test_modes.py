"""Framework or defaults, on made-up accuracies: TEST DATA, no figure here was measured."""

from collections.abc import Mapping, Sequence

import pytest

from core.schemas.recipe import Recipe, complete
from core.schemas.results import EvaluateResult, TrainResult
from core.schemas.specs import FRAMEWORKS, Framework
from core.schemas.statistics import DefaultsTest
from core.schemas.summary import Arm, Group, SeedAccuracy, Summary
from evaluator import statistics
from evaluator.modes import compare, pairs_of_arms
from evaluator.report import charts, modes
from evaluator.report.html import render
from evaluator.report.markdown import to_markdown
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment

Accuracies = Mapping[str, Mapping[Framework, Sequence[float]]]
PYTORCH = (0.970, 0.972, 0.971)
AHEAD = (0.990, 0.993, 0.992)
"""About two points above PYTORCH in every seed."""


def arm(
    name: str, architecture: str = "digits-cnn", frameworks: tuple[Framework, ...] = FRAMEWORKS, **key: object
) -> Arm:
    mode = "matched" if "matched" in name else "idiomatic"
    return Arm(
        name=name,
        mode=mode,
        architecture=architecture,
        parameters=1,
        trainable_parameters=1,
        recipe=Recipe.model_validate(complete(mode, {"epochs": 4, **key})),
        frameworks=frameworks,
        seeds=(0,),
        between_frameworks=None,
        between_seeds=None,
        finding="",
    )


def group(name: str, framework: Framework, values: Sequence[float]) -> Group:
    seeds = tuple(SeedAccuracy(seed=n, accuracy=one, interval=(one, one)) for n, one in enumerate(values))
    spread = statistics.spread(values)
    mode = "matched" if "matched" in name else "idiomatic"
    return Group(arm=name, mode=mode, framework=framework, seeds=seeds, accuracy=spread, training_seconds=None)


def rows(of: Accuracies) -> tuple[DefaultsTest, ...]:
    """Rows of arms with these accuracies by framework and seed."""
    groups = [group(name, framework, values) for name, own in of.items() for framework, values in own.items()]
    arms = [arm(name, frameworks=tuple(own)) for name, own in of.items()]
    return compare(arms, groups, statistics.framework_tests(groups))


def only(idiomatic: Sequence[float], matched: Sequence[float], pytorch: Sequence[float] = PYTORCH) -> DefaultsTest:
    """Keras and PyTorch: Keras has these accuracies."""
    (row,) = rows(
        {"idiomatic": {"keras": idiomatic, "pytorch": pytorch}, "matched": {"keras": matched, "pytorch": pytorch}}
    )
    return row


@pytest.mark.parametrize(
    ("matched", "pairs"),
    [
        (arm("matched", batch_size=32), 1),
        (arm("matched", optimizer={"name": "adam", "learning_rate": 0.01}), 1),
        (arm("matched", architecture="mlp"), 0),
        (arm("matched", epochs=5), 0),
        (arm("matched", label_smoothing=0.1), 0),
        (arm("matched", optimizer={"name": "sgd"}), 0),
        (arm("matched", initializer="framework"), 0),
        (arm("other"), 0),
    ],
    ids=["batches", "rate", "network", "epochs", "smoothing", "optimiser", "half matched", "idiomatic too"],
)
def test_arms_are_a_pair_where_their_recipes_differ_in_what_the_mode_leaves_to_frameworks(
    matched: Arm, pairs: int
) -> None:
    assert len(pairs_of_arms([arm("idiomatic"), matched])) == pairs


def test_processes_that_decode_make_no_other_pair_of_arms() -> None:
    assert len(pairs_of_arms([arm("idiomatic", workers=2), arm("matched")])) == 1


@pytest.mark.parametrize(
    ("own", "equal", "pairs"), [(32, 64, 1), (64, 64, 1), (128, 64, 0)], ids=["its own", "the same", "another"]
)
def test_a_batch_size_that_is_written_for_one_mode_alone_is_no_default(own: int, equal: int, pairs: int) -> None:
    keras = arm("idiomatic", batch_size=own, frameworks=("keras", "tensorflow"))
    assert len(pairs_of_arms([keras, arm("matched", batch_size=equal)])) == pairs


def test_defaults_that_move_a_difference_are_said_to_favour_a_framework() -> None:
    row = only(AHEAD, (0.9705, 0.9716, 0.9712))
    assert row.moved is not None
    assert row.moved.mean == pytest.approx(0.0206, abs=1e-4)
    assert row.moved.p_adjusted == row.moved.p_value
    assert (
        row.finding
        == "With own defaults Keras is more accurate; matched, no difference shown. The defaults favour Keras."
    )


def test_the_sentence_says_how_far_or_how_many_differences_the_defaults_move() -> None:
    row, other = only(AHEAD, (0.9705, 0.9716, 0.9712)), only((0.975, 0.969, 0.972), (0.969, 0.974, 0.970))
    assert modes.sentence([row]).endswith("matched by 0.01 points. The defaults move it by 2.06 points.")
    assert modes.sentence([row, other]).endswith("The defaults move 1 of 2 differences: Keras − PyTorch.")
    cnn = row.model_copy(update={"idiomatic": "cnn-idiomatic", "matched": "cnn-matched"})
    dense = other.model_copy(update={"idiomatic": "dense-idiomatic", "matched": "dense-matched"})
    assert modes.sentence([cnn, dense]).endswith("move 1 of 2 differences: Keras − PyTorch (cnn).")


def test_shifts_that_are_the_same_in_every_seed_are_not_called_no_difference() -> None:
    row = only((0.99, 0.98, 0.97), (0.98, 0.97, 0.96))
    assert row.moved is not None
    assert row.moved.p_adjusted is None
    assert "cannot be tested: they move it alike in every seed" in modes.sentence([row])


def test_pairs_none_of_which_could_be_tested_are_not_called_no_difference() -> None:
    few, same = only(AHEAD[:2], PYTORCH[:2], PYTORCH[:2]), only((0.99, 0.98, 0.97), (0.98, 0.97, 0.96))
    told = modes.sentence([few, same])
    assert told.endswith("cannot be tested: too few common seeds, or the same move in every seed.")
    assert "no difference" not in told


def test_a_difference_that_stays_matched_is_the_framework_and_not_its_defaults() -> None:
    row = only((0.9905, 0.9924, 0.9915), AHEAD)
    assert row.finding == (
        "With own defaults Keras is more accurate; matched, Keras is more accurate. That the defaults move it is not "
        "shown."
    )


def test_where_nothing_is_shown_that_is_said() -> None:
    row = only((0.975, 0.969, 0.972), (0.969, 0.974, 0.970))
    assert row.finding == "No difference shown, and none between the modes."
    assert "no difference shown, which is no proof" in modes.sentence([row])


def test_defaults_may_move_what_is_no_difference_in_either_mode() -> None:
    """The frameworks vary from seed to seed, alike in both modes."""
    row = only((0.99, 0.97, 0.95), (0.98, 0.9605, 0.9402), pytorch=(0.97, 0.97, 0.97))
    assert row.finding == "No difference shown in either mode. The defaults favour Keras."


def test_differences_are_those_of_the_framework_tests_and_the_shift_is_by_seed() -> None:
    row = only(AHEAD, PYTORCH[::-1])
    assert row.own is not None
    assert row.equal is not None
    assert row.moved is not None
    assert row.own.p_adjusted is not None
    assert row.moved.mean == pytest.approx(row.own.mean - row.equal.mean)
    # Paired otherwise, the spread is another one.
    other = only(AHEAD, PYTORCH)
    assert other.moved is not None
    assert other.moved.mean == pytest.approx(row.moved.mean)
    assert other.moved.interval != row.moved.interval


@pytest.mark.parametrize(("seeds", "said"), [(1, "One seed: no verdict."), (2, "Two seeds: no verdict.")])
def test_fewer_than_three_seeds_give_figures_and_no_verdict(seeds: int, said: str) -> None:
    row = only(AHEAD[:seeds], PYTORCH[:seeds], PYTORCH[:seeds])
    assert row.finding == said
    (cells,) = modes.table([row]).rows
    assert cells[:2] == ("Keras − PyTorch", said)
    assert ("(" in cells[3]) == (seeds > 1)
    assert cells[-1] == "–"
    assert modes.sentence([row]).endswith(f"{said.removesuffix('.')} on whether the defaults make it.")


def test_a_shift_that_is_the_same_in_every_seed_cannot_be_tested() -> None:
    row = only(tuple(one + 0.02 for one in PYTORCH), PYTORCH)
    assert row.finding.endswith("The defaults move it alike in every seed: cannot be tested.")
    assert modes.table([row]).rows[0][3] == "+2.00"


def test_a_framework_that_failed_in_one_mode_has_its_figure_in_the_other_one_alone() -> None:
    found = rows({"idiomatic": {"keras": AHEAD}, "matched": {"keras": AHEAD, "pytorch": PYTORCH}})
    assert [(row.own, row.moved, row.finding) for row in found] == [
        (None, None, "Scored matched only: nothing to compare.")
    ]
    assert modes.table(found).rows[0][2:5] == ("0/3/0", "–", modes.table(found).rows[0][4])
    assert "nothing is said of the defaults" in modes.sentence(found)
    assert len(modes.chart(found)["data"][1]["x"]) == 0


def test_a_seed_that_failed_on_one_side_is_left_out_of_the_shift_alone() -> None:
    (row,) = rows(
        {"idiomatic": {"keras": AHEAD[:2], "pytorch": PYTORCH}, "matched": {"keras": PYTORCH, "pytorch": AHEAD}}
    )
    assert row.finding == "Two seeds: no verdict."
    assert modes.table([row]).rows[0][2] == "2/3/2"


def test_no_common_seed_is_no_shift() -> None:
    own = {"keras": AHEAD, "pytorch": PYTORCH}
    groups = [group(name, framework, values) for name in ("idiomatic", "matched") for framework, values in own.items()]
    late = [one.model_copy(update={"seed": one.seed + 9}) for one in groups[2].seeds]
    groups[2:] = [one.model_copy(update={"seeds": tuple(late)}) for one in groups[2:]]
    arms = [arm(name, frameworks=("keras", "pytorch")) for name in ("idiomatic", "matched")]
    (row,) = compare(arms, groups, statistics.framework_tests(groups))
    assert (row.moved, row.finding) == (None, "No seed was scored in both modes: nothing to compare.")


def test_four_frameworks_are_six_rows_corrected_together() -> None:
    noise = {"keras": AHEAD, "tensorflow": (0.96, 0.97, 0.95), "pytorch": PYTORCH, "fastai": (0.98, 0.95, 0.97)}
    matched = {"keras": (0.97, 0.96, 0.97), "tensorflow": (0.98, 0.97, 0.96), "pytorch": PYTORCH, "fastai": PYTORCH}
    found = rows({"idiomatic": noise, "matched": matched})  # type: ignore[dict-item]
    assert len(found) == 6
    tests = [row.moved for row in found if row.moved]
    lowest = min(tests, key=lambda test: test.p_value or 1.0)
    assert lowest.p_value is not None
    assert lowest.p_adjusted == pytest.approx(min(1.0, 6 * lowest.p_value))


def test_rows_of_several_pairs_of_arms_name_what_the_arms_share() -> None:
    keras = {"keras": AHEAD, "pytorch": PYTORCH}
    networks = {"cnn": "digits-cnn", "dense": "mlp"}
    of = {f"{name}-{mode}": keras for name in networks for mode in ("idiomatic", "matched")}
    groups = [group(name, framework, values) for name, own in of.items() for framework, values in own.items()]
    arms = [arm(name, networks[name.partition("-")[0]], frameworks=("keras", "pytorch")) for name in of]
    found = compare(arms, groups, statistics.framework_tests(groups))
    assert [row[1] for row in modes.table(found).rows] == ["cnn", "dense"]
    assert modes.chart(found)["layout"]["yaxis"]["ticktext"][0].endswith(">cnn</span>")
    bare = [row.model_copy(update={"idiomatic": "idiomatic", "matched": "matched"}) for row in found[:1]]
    assert modes.table([*bare, found[1]]).rows[0][1] == "idiomatic / matched"


def test_marks_are_hollow_without_a_difference_and_the_line_leads_from_mode_to_mode() -> None:
    row = only(AHEAD, (0.9705, 0.9716, 0.9712))
    line, own, equal = modes.chart([row])["data"]
    assert (own["marker"]["symbol"], equal["marker"]["symbol"]) == (["circle"], ["diamond-open"])
    assert line["x"][:2] == [own["x"][0], equal["x"][0]]
    assert [key.name for key in charts.legend(modes.chart([row]))] == ["idiomatic", "matched"]


def test_the_intervals_of_two_seeds_do_not_press_the_chart_together() -> None:
    two, three = (only(AHEAD[:n], PYTORCH[:n][::-1], PYTORCH[:n]) for n in (2, 3))
    for row, whole in ((two, False), (three, True)):
        assert row.equal is not None
        assert row.equal.interval is not None
        low, high = modes.chart([row])["layout"]["xaxis"]["range"]
        assert (low < 100 * row.equal.interval[0]) == whole
        assert low < 0 < high


def summary_of(experiment: Experiment) -> Summary:
    return summarise(experiment.spec, experiment.results, experiment.probabilities, experiment.labels)


def test_any_experiment_with_both_modes_has_the_section_in_page_and_markdown() -> None:
    found = summary_of(Experiment(load_tests=False))
    assert len(found.defaults) == 6
    page, markdown = render(found, (), {}, {}), to_markdown(found)
    assert 'href="#defaults"' in page
    assert '<section id="defaults"' in page
    assert 'id="modes"' in page
    assert "## Framework or defaults?" in markdown
    assert "| Keras − TensorFlow | " in markdown


@pytest.mark.parametrize(
    "experiment",
    [
        Experiment(arms=("matched",), load_tests=False),
        Experiment(frameworks=("keras",), load_tests=False),
        Experiment(missing=("everything",), arms=()),
    ],
    ids=["one mode", "one framework", "nothing worked"],
)
def test_without_a_pair_there_is_no_section(experiment: Experiment) -> None:
    found = summary_of(experiment)
    assert found.defaults == ()
    page = render(found, (), {}, {})
    assert "#defaults" not in page
    assert 'id="modes"' not in page
    assert "Framework or defaults" not in to_markdown(found)


def test_one_seed_and_a_training_that_failed_still_give_a_report() -> None:
    whole = Experiment(seeds=(0,), load_tests=False)
    lost = [r for r in whole.results if isinstance(r, TrainResult | EvaluateResult) and "idiomatic-fastai" in r.run_id]
    assert lost
    kept = [result for result in whole.results if result not in lost]
    found = summarise(whole.spec, kept, whole.probabilities, whole.labels)
    assert [row.finding for row in found.defaults if "fastai" in (row.first, row.second)] == [
        "Scored matched only: nothing to compare."
    ] * 3
    assert {row.finding for row in found.defaults if "fastai" not in (row.first, row.second)} == {
        "One seed: no verdict."
    }
    assert "One seed: no verdict." in render(found, (), {}, {})
    assert "One seed: no verdict." in to_markdown(found)


def test_arms_that_an_attribution_adds_are_no_side() -> None:
    """With every key of the mode switched one of them is matched but for its name."""
    whole = Experiment(arms=("idiomatic", "idiomatic-a1", "matched"), frameworks=("keras", "pytorch"), load_tests=False)
    plan = '{"attribution": {"arms": ["idiomatic", "matched"], "between": ["keras", "pytorch"], "order": ["pipeline"]}}'
    spec = whole.spec.model_copy(update={"spec_json": plan})
    for given, idiomatic in ((whole.spec, {"idiomatic", "idiomatic-a1"}), (spec, {"idiomatic"})):
        found = summarise(given, whole.results, whole.probabilities, whole.labels)
        assert {row.idiomatic for row in found.defaults} == idiomatic


def test_arms_that_an_attribution_adds_weaken_no_other_test() -> None:
    of = {"idiomatic": AHEAD, "matched": (0.98, 0.981, 0.979), "idiomatic-a1": (0.97, 0.98, 0.97)}
    groups = [
        group(arm, name, own) for arm, keras in of.items() for name, own in (("keras", keras), ("pytorch", PYTORCH))
    ]
    alone = statistics.framework_tests(groups[:4])
    assert statistics.framework_tests(groups, {"idiomatic-a1"})[:2] == alone
    assert statistics.framework_tests(groups)[:2] != alone
