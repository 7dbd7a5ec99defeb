from pathlib import Path

import pytest

from core.errors import InvalidInputError
from core.schemas.schedule import Plateau
from services.orchestrator.experiment_file import load_yaml, read_experiment

ROOT = Path(__file__).parents[4]
STUDIES = sorted((ROOT / "experiments").glob("s[1-5]-*.yaml"))
TEXT = """\
name: sized
title: Sized
data:
  source: {kind: digits}
  image: {height: 8, width: 8, color: grey}
arms:
  one: &one
    architecture: digits-cnn
    recipe: {epochs: 9}
  two: {<<: *one, mode: idiomatic}
seeds: [0, 1, 2]
loadtest: {arms: [one]}
scales:
  small: {seeds: [0], data: {limit: 5}, arms: {two: {recipe: {epochs: 2}}}}
"""


def write(folder: Path, text: str = TEXT) -> Path:
    path = folder / "sized.yaml"
    path.write_text(text)
    return path


def test_without_a_scale_the_file_stands_as_it_is(tmp_path: Path) -> None:
    experiment = read_experiment(write(tmp_path))
    assert (experiment.scale, experiment.report_name, experiment.seeds) == ("full", "sized", (0, 1, 2))
    assert list(experiment.arms) == ["one", "two"]
    assert experiment.data.limit is None


def test_a_scale_changes_what_it_names_and_ends_the_names_of_arms(tmp_path: Path) -> None:
    experiment = read_experiment(write(tmp_path), scale="small")
    assert (experiment.scale, experiment.report_name, experiment.seeds) == ("small", "sized-small", (0,))
    assert {name: arm.recipe.epochs for name, arm in experiment.arms.items()} == {"one-small": 9, "two-small": 2}
    assert experiment.loadtest is not None
    assert experiment.loadtest.arms == ("one-small",)
    assert experiment.data.limit == 5


def test_a_scale_adds_to_a_schedule_that_is_its_name_alone(tmp_path: Path) -> None:
    text = TEXT.replace("{epochs: 9}", "{epochs: 9, schedule: plateau}")
    text = text.replace("{two: {recipe: {epochs: 2}}}", "{one: {recipe: {schedule: {patience: 2}}}}")
    arm = read_experiment(write(tmp_path, text), scale="small").arms["one-small"]
    assert arm.recipe.schedule == Plateau(patience=2)


def test_an_override_uses_the_names_in_the_file_and_wins_over_the_scale(tmp_path: Path) -> None:
    experiment = read_experiment(write(tmp_path), ["arms.two.recipe.epochs=3", "seeds=[7]"], scale="small")
    assert {name: arm.recipe.epochs for name, arm in experiment.arms.items()} == {"one-small": 9, "two-small": 3}
    assert experiment.seeds == (7,)


def test_a_search_follows_its_arm(tmp_path: Path) -> None:
    search = "search: {arm: two, framework: keras, method: grid, space: {recipe.batch_size: [4, 8]}}\n"
    text = TEXT.replace("seeds: [0, 1, 2]\n", "seeds: [0]\nframeworks: [keras]\n").replace(
        "loadtest: {arms: [one]}\n", search
    )
    experiment = read_experiment(write(tmp_path, text), scale="small")
    assert experiment.search is not None
    assert experiment.search.arm == "two-small"


def test_a_frozen_experiment_of_a_scale_is_read_as_it_is(tmp_path: Path) -> None:
    frozen = read_experiment(write(tmp_path), scale="small")
    path = tmp_path / "frozen.json"
    path.write_text(frozen.model_dump_json())
    assert read_experiment(path) == frozen


def test_an_unknown_scale_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"no scale 'tiny'; it has: full, small"):
        read_experiment(write(tmp_path), scale="tiny")


def test_scales_that_are_no_mapping_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="scales: expected a mapping"):
        read_experiment(write(tmp_path, TEXT.split("scales:")[0] + "scales: [small]\n"), scale="small")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_is_valid_at_full_and_small_scale_in_both_modes(path: Path) -> None:
    full, small = read_experiment(path), read_experiment(path, scale="small")
    for experiment in (full, small):
        assert {arm.mode for arm in experiment.arms.values()} == {"matched", "idiomatic"}
        assert experiment.study is not None
    assert len(full.seeds) == 5, "a verdict has five seeds unless the file says why not"
    assert len(small.seeds) * len(small.arms) < len(full.seeds) * len(full.arms)
    assert small.data.limit is not None


SCALES = [
    (path, scale)
    for path in sorted((ROOT / "experiments").glob("*.yaml"))
    for scale in load_yaml(path, "safe").get("scales", {})
]


@pytest.mark.parametrize(("path", "scale"), SCALES, ids=lambda one: one if isinstance(one, str) else one.stem)
def test_every_experiment_is_valid_at_each_of_its_scales(path: Path, scale: str) -> None:
    assert read_experiment(path, scale=scale).scale == scale


def test_a_claim_about_an_unknown_arm_is_refused(tmp_path: Path) -> None:
    claim = "{text: x, first: {framework: keras, arms: [three], epochs: 1, published: 0.5}}"
    study = f"study: {{title: t, images: 10, fits: all, claims: [{claim}]}}\n"
    with pytest.raises(InvalidInputError, match=r"study.claims.0 names \['three'\]"):
        read_experiment(write(tmp_path, TEXT + study))


CLAIMS = """\
study:
  title: t
  images: 10
  fits: all
  claims:
    - text: both
      first: {framework: keras, arms: [two, one], epochs: 1}
      second: {framework: pytorch, arms: [two, one], epochs: 1}
    - text: two against one
      first: {framework: keras, arms: [two], epochs: 1}
      second: {framework: pytorch, arms: [one], epochs: 1}
    - {text: nowhere, first: {framework: keras, epochs: 1}, unavailable: weights unavailable}
"""


def test_an_arm_set_to_null_is_left_out_with_what_is_claimed_about_it(tmp_path: Path) -> None:
    changed = TEXT.replace("arms: {two: {recipe: {epochs: 2}}}", "arms: {two: null}")
    experiment = read_experiment(write(tmp_path, changed + CLAIMS), scale="small")
    assert list(experiment.arms) == ["one-small"]
    assert experiment.study is not None
    claims = experiment.study.claims
    assert [(claim.text, [side.arms for side in claim.sides]) for claim in claims] == [
        ("both", [("one-small",), ("one-small",)]),
        ("nowhere", [()]),
    ]
    assert len(read_experiment(tmp_path / "sized.yaml").study.claims) == 3  # type: ignore[union-attr]


def test_an_override_may_leave_out_an_arm_too(tmp_path: Path) -> None:
    path = write(tmp_path, TEXT + CLAIMS)
    without = read_experiment(path, ["arms.one=null"])
    assert list(without.arms) == ["two"]
    assert without.loadtest is None
    left = read_experiment(path, ["arms.two=null"], scale="small")
    assert list(left.arms) == ["one-small"]
    assert left.study is not None
    assert [claim.text for claim in left.study.claims] == ["both", "nowhere"]


@pytest.mark.parametrize("overrides", [["arms.twp=null"], ["arms.two-small=null"]])
def test_leaving_out_an_arm_that_is_not_there_is_refused(overrides: list[str], tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"arms.tw[a-z-]+ is null, and there is no such arm: one, two"):
        read_experiment(write(tmp_path, TEXT), overrides, scale="small")


def test_a_claim_goes_where_a_scale_trains_its_arm_in_the_other_framework_alone(tmp_path: Path) -> None:
    changed = TEXT.replace("arms: {two: {recipe: {epochs: 2}}}", "arms: {two: {frameworks: [pytorch]}}")
    study = read_experiment(write(tmp_path, changed + CLAIMS), scale="small").study
    assert study is not None
    assert [(claim.text, [side.arms for side in claim.sides]) for claim in study.claims] == [
        ("both", [("one-small",), ("one-small",)]),
        ("nowhere", [()]),
    ]


def test_a_study_goes_with_its_last_claim(tmp_path: Path) -> None:
    text = TEXT + "\n".join(line for line in CLAIMS.splitlines() if "nowhere" not in line) + "\n"
    alone = [
        "arms.one={architecture: digits-cnn, frameworks: [fastai], recipe: {epochs: 1}}",
        "arms.two=null",
        "frameworks=[fastai]",
    ]
    assert read_experiment(write(tmp_path, text), alone).study is None


def test_claims_are_as_written_where_no_arm_is_left_out(tmp_path: Path) -> None:
    """Frozen files write out `arms: []`; sides of unequal length are an error and not cut to the shorter one."""
    frozen = CLAIMS.replace(
        "framework: keras, epochs: 1}, unavailable", "framework: keras, arms: [], epochs: 1}, unavailable"
    )
    study = read_experiment(write(tmp_path, TEXT + frozen)).study
    assert study is not None
    assert [claim.text for claim in study.claims] == ["both", "two against one", "nowhere"]
    uneven = CLAIMS.replace("{framework: pytorch, arms: [two, one]", "{framework: pytorch, arms: [two]")
    with pytest.raises(InvalidInputError, match="compared pairwise"):
        read_experiment(write(tmp_path, TEXT + uneven))


def test_an_arm_whose_name_is_a_number_may_be_left_out(tmp_path: Path) -> None:
    text = TEXT.replace("  two: ", "  18: ").replace("arms: {two: {recipe: {epochs: 2}}}", "arms: {18: null}")
    assert list(read_experiment(write(tmp_path, text), scale="small").arms) == ["one-small"]


def test_an_error_still_names_its_line_where_an_arm_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, TEXT)
    line = next(n for n, text in enumerate(TEXT.splitlines(), 1) if text.startswith("  one:"))
    with pytest.raises(InvalidInputError, match=rf":{line}: arms.one.mode"):
        read_experiment(path, ["arms.two=null", "arms.one.mode=none"])


def test_a_scale_that_leaves_out_every_arm_is_refused(tmp_path: Path) -> None:
    changed = TEXT.replace("arms: {two: {recipe: {epochs: 2}}}", "arms: {one: null, two: null}")
    message = r"sized.yaml: every arm is left out \(null\): one, two; one must stay"
    with pytest.raises(InvalidInputError, match=message):
        read_experiment(write(tmp_path, changed), scale="small")
    with pytest.raises(InvalidInputError, match=message):
        read_experiment(write(tmp_path, TEXT), ["arms.one=null", "arms.two=null"])


def test_the_other_split_follows_its_arms(tmp_path: Path) -> None:
    other = "other_split: {arms: [two], split: {policy: contiguous}}\n"
    experiment = read_experiment(write(tmp_path, TEXT + other), scale="small", overrides=["data.limit=null"])
    assert list(experiment.other_arms) == ["two-small-contiguous"]


def test_an_arm_that_a_scale_leaves_out_is_left_out_of_the_other_split(tmp_path: Path) -> None:
    other = "other_split: {arms: [two], split: {policy: contiguous}}\n"
    text = TEXT.replace("arms: {two: {recipe: {epochs: 2}}}", "arms: {two: null}")
    assert (
        read_experiment(write(tmp_path, text + other), scale="small", overrides=["data.limit=null"]).other_split is None
    )
    both = "other_split: {arms: [one, two], split: {policy: contiguous}}\n"
    experiment = read_experiment(write(tmp_path, text + both), scale="small", overrides=["data.limit=null"])
    assert list(experiment.other_arms) == ["one-small-contiguous"]


@pytest.mark.parametrize("scale", ["full", "small"])
def test_an_error_in_an_arm_names_its_line_at_every_scale(tmp_path: Path, scale: str) -> None:
    text = TEXT.replace("    recipe: {epochs: 9}\n", "    recipe:\n      epochs: 9\n      batch_size: -1\n")
    with pytest.raises(InvalidInputError) as refused:
        read_experiment(write(tmp_path, text), scale=scale)
    first = str(refused.value).splitlines()[0]
    assert first.startswith(f"{tmp_path}/sized.yaml:11: arms.one{'' if scale == 'full' else '-small'}.recipe")


def test_an_error_in_a_claim_names_the_line_of_its_claim_where_earlier_ones_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "s2.yaml"
    text = (ROOT / "experiments/s2-mnist.yaml").read_text()
    lines = text.splitlines()
    number = max(number for number, line in enumerate(lines) if line.lstrip().startswith("- text:"))
    lines[number + 1 : number + 1] = ["      nonsense: 1"]
    path.write_text("\n".join(lines) + "\n")
    arms = load_yaml(path, "safe")["arms"]
    with pytest.raises(InvalidInputError) as refused:
        read_experiment(path, [f"arms.{next(iter(arms))}=null"])
    assert str(refused.value).startswith(f"{path}:{number + 2}: study.claims.")
