"""Attribution on made-up accuracies: TEST DATA, no figure here was measured."""

import pytest

from core.schemas.attribution import AttributionPlan
from core.schemas.summary import Group, SeedAccuracy
from evaluator import statistics
from evaluator.attribution import attribute, counted_once
from evaluator.report.attribution import UNCLEAR, sentence, table, waterfall
from evaluator.text import bare_range

PLAN = AttributionPlan(
    arms=("idiomatic", "matched"), between=("keras", "pytorch"), order=("initializer", "arithmetic"), alone=True
)
PYTORCH = (0.96, 0.97)
KERAS = {
    "idiomatic": (0.90, 0.91),
    "idiomatic-a1": (0.93, 0.93),
    "idiomatic-a2": (0.95, 0.96),
    "matched": (0.96, 0.97),
    "idiomatic-o2": (0.91, 0.91),
}


NOISE = (0.001, -0.001, 0.0, 0.002, -0.002)
CLEAR = {
    "idiomatic": tuple(0.90 + one for one in NOISE),
    "idiomatic-a1": tuple(0.95 + one / 2 for one in NOISE),
    "idiomatic-a2": tuple(0.95 - one for one in NOISE),
    "matched": tuple(0.95 + one for one in NOISE),
    "idiomatic-o2": tuple(0.90 - one for one in NOISE),
}
"""The first switch moves every seed by about five points, the second one by luck."""


def groups(
    seeds: int = 2,
    without: str = "",
    keras: dict[str, tuple[float, ...]] = KERAS,
    pytorch: tuple[float, ...] = PYTORCH,
) -> list[Group]:
    found = []
    for arm, values in keras.items():
        for framework, accuracies in (("keras", values), ("pytorch", pytorch)):
            if arm == without:
                continue
            own = tuple(
                SeedAccuracy(seed=seed, accuracy=value, interval=(value, value))
                for seed, value in enumerate(accuracies[:seeds])
            )
            found.append(
                Group(
                    arm=arm,
                    mode="idiomatic",
                    framework=framework,  # type: ignore[arg-type]
                    seeds=own,
                    accuracy=statistics.spread([seed.accuracy for seed in own]),
                    training_seconds=None,
                )
            )
    return found


def test_shares_and_rest_lead_from_the_first_gap_to_the_last() -> None:
    found = attribute(PLAN, groups())
    assert found is not None
    assert found.start.mean == pytest.approx(-0.06)
    assert found.end.mean == pytest.approx(0.0)
    assert [share.change.mean for share in found.shares] == pytest.approx([0.025, 0.025])
    assert found.start.mean + sum(s.change.mean for s in found.shares) + found.rest.mean == pytest.approx(
        found.end.mean
    )


def test_interaction_is_what_the_switches_do_together_beyond_each_alone() -> None:
    found = attribute(PLAN, groups())
    assert found is not None
    assert [share.change.mean for share in found.alone] == pytest.approx([0.025, 0.005])
    assert found.interaction is not None
    assert found.interaction.mean == pytest.approx(0.02)


def test_an_arm_that_failed_leaves_no_attribution_rather_than_a_wrong_one() -> None:
    assert attribute(PLAN, groups(without="idiomatic-a2")) is None


def test_one_seed_is_said_to_be_one() -> None:
    found = attribute(PLAN, groups(seeds=1))
    assert found is not None
    assert "one seed" in sentence(found)


def test_the_waterfall_begins_and_ends_with_the_gaps_and_floats_between() -> None:
    found = attribute(PLAN, groups())
    assert found is not None
    bars = waterfall(found)["data"][0]
    *tops, together = [base + size for base, size in zip(bars["base"], bars["y"], strict=True)]
    assert tops[0] == pytest.approx(-6)
    assert bars["base"][1:-2] == pytest.approx(tops[:-2])
    assert tops[-1] == pytest.approx(tops[-2]) == pytest.approx(0)
    # Alone the switches would lead from -6 by 2.5 and 0.5 points to -3, together they do to -1.
    assert bars["x"][-1] == "interaction"
    assert (bars["base"][-1], together) == (pytest.approx(-3), pytest.approx(-1))


def test_the_table_has_a_row_for_each_switch_the_start_and_what_is_left() -> None:
    found = attribute(PLAN, groups())
    assert found is not None
    rows = table(found).rows
    assert [row[0] for row in rows] == ["idiomatic", "initializer", "arithmetic", "everything not named", "interaction"]
    assert [row[6] for row in rows[1:]] == ["not tested"] * 4  # two seeds cannot tell
    assert {len(row) for row in rows} == {len(table(found).headers)}


def test_the_interaction_has_a_row_with_its_interval_and_p_value_and_a_sentence() -> None:
    together = CLEAR | {"idiomatic-o2": tuple(0.85 - one for one in NOISE)}
    found = attribute(PLAN, groups(seeds=5, keras=together, pytorch=(0.96,) * 5))
    assert found is not None
    assert found.interaction is not None
    row = table(found).rows[-1]
    interval = bare_range(found.interaction.interval)
    assert row[:5] == ("interaction", "–", "–", "+5.00", interval)
    assert (row[5][0], *row[6:]) == ("p", "–", "–")
    assert sentence(found).endswith(
        f"differs from the sum of what each moves alone by +5.00 points (95% interval {interval})."
    )
    assert "Interaction: all switches together" in table(found).caption


def test_an_interaction_that_was_not_tested_is_not_called_indistinguishable() -> None:
    found = attribute(PLAN, groups(seeds=2))
    assert found is not None
    assert sentence(found).endswith(", which was not tested.")
    assert "No switch's change was tested: too few seeds" in sentence(found)
    assert all(row[7].endswith("(not tested)") for row in table(found).rows[1:3])
    assert not any(UNCLEAR in cell for row in table(found).rows for cell in row)


def test_without_switches_alone_there_is_no_interaction_to_show() -> None:
    found = attribute(PLAN.model_copy(update={"alone": False}), groups())
    assert found is not None
    assert table(found).rows[-1][0] == "everything not named"
    assert "nteraction" not in table(found).caption
    assert waterfall(found)["data"][0]["x"][-1] == "matched"


def test_a_step_that_may_be_luck_has_no_share_and_is_hatched() -> None:
    found = attribute(PLAN, groups(seeds=5, keras=CLEAR, pytorch=(0.96,) * 5))
    assert found is not None
    rows = table(found).rows
    assert [row[6] for row in rows] == ["–", "100%", UNCLEAR, UNCLEAR, UNCLEAR]
    assert [row[7].lstrip("+-") for row in rows[1:3]] == ["5.00", f"0.00 ({UNCLEAR})"]
    assert "Changes that can be told from none: initializer." in sentence(found)
    assert sentence(found).endswith(f"), which is {UNCLEAR}.")
    bars = waterfall(found)["data"][0]
    assert bars["marker"]["pattern"]["shape"] == ["", "", "/", "/", "", "/"]
    assert [label.strip("+-(") for label in bars["text"]] == ["6.00", "5.00", "0.00)", "0.00)", "1.00", "0.00)"]


def test_changes_are_corrected_for_all_that_are_tested_together() -> None:
    found = attribute(PLAN, groups(seeds=5, keras=CLEAR, pytorch=(0.96,) * 5))
    assert found is not None
    assert found.alone[0] == found.shares[0], "the first switch alone is the first that stays made: one change"
    tests = [*(share.change for share in (*found.shares, *found.alone[1:])), found.rest, found.interaction]
    assert len(tests) == 5
    raw = sorted(test.p_value for test in tests if test and test.p_value is not None)
    first = found.shares[0].change
    assert first.p_value is not None
    assert first.p_adjusted == pytest.approx((5 - raw.index(first.p_value)) * first.p_value)


def test_one_seed_is_not_tested() -> None:
    found = attribute(PLAN, groups(seeds=1))
    assert found is not None
    assert {row[6] for row in table(found).rows[1:]} == {"not tested"}


def test_an_earlier_result_that_trained_the_first_switch_twice_counts_it_once() -> None:
    found = attribute(PLAN, groups(seeds=5, keras=CLEAR, pytorch=(0.96,) * 5))
    assert found is not None
    twice = found.model_copy(
        update={"alone": (found.shares[0].model_copy(update={"arm": "idiomatic-o1"}), *found.alone[1:])}
    )
    assert counted_once(twice) == found


def test_the_plan_trains_the_first_switch_once() -> None:
    assert PLAN.steps == ("idiomatic-a1", "idiomatic-a2")
    assert PLAN.singles == ("idiomatic-a1", "idiomatic-o2")
