"""Names of arms on the page, on synthetic summaries: TEST DATA, no figure here was measured."""

from core.schemas.experiment import Experiment
from evaluator.claims.arms import bare_arm, unscaled, without_scale
from tests.unit.evaluator.claims.test_judge import CLEAR, study, summary


def test_the_scale_is_taken_out_in_front_of_what_an_attribution_adds() -> None:
    assert without_scale("cnn-idiomatic-small-a1", "small") == "cnn-idiomatic-a1"
    assert without_scale("cnn-smaller-small-f1", "small") == "cnn-smaller-f1"
    assert without_scale("cnn-smaller-small", "small") == "cnn-smaller"
    assert without_scale("cnn-small", "full") == "cnn-small", "an arm of the file may be called so"


def test_the_mode_is_left_out_where_it_is_said_beside_the_name() -> None:
    assert [bare_arm(arm, "matched") for arm in ("cnn-matched", "matched", "cnn-idiomatic")] == [
        "cnn",
        "",
        "cnn-idiomatic",
    ]


def test_everything_that_is_shown_of_a_result_has_the_names_of_the_file() -> None:
    whole = summary(study(), CLEAR)
    frozen = Experiment.model_validate_json(whole.spec_json).model_copy(update={"scale": "small"})
    scaled = whole.model_copy(
        update={
            "spec_json": frozen.model_dump_json(),
            "trainings": tuple(t.model_copy(update={"arm": f"{t.arm}-small"}) for t in whole.trainings),
            "groups": tuple(g.model_copy(update={"arm": f"{g.arm}-small"}) for g in whole.groups),
            "arms": tuple(a.model_copy(update={"name": f"{a.name}-small"}) for a in whole.arms),
        }
    )
    shown = unscaled(scaled)
    assert (shown.trainings, shown.groups, shown.arms) == (whole.trainings, whole.groups, whole.arms)
    assert unscaled(whole) is whole
