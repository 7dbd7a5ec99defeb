"""What crosses a file or a wire is validated, and an error says which key and which value."""

import pydantic
import pytest

from core.errors import InvalidInputError
from core.schemas.base import NAME, Name, canonical_json, content_id, parse_json
from core.schemas.data import DataSpec, FolderSource, ImageSpec, SplitSpec
from core.schemas.recipe import Adam, Pretrained, Recipe, complete
from core.schemas.specs import EvaluateSpec, PrepareSpec, TrainSpec, parse_evaluator_spec, parse_trainer_spec

IMAGE = {"height": 8, "width": 8}
PREPARE = PrepareSpec(data=DataSpec(source=FolderSource(path="/x"), image=ImageSpec(**IMAGE)), source_digest="d")
TRAIN = TrainSpec(
    experiment="e", arm="a", framework="keras", seed=0, architecture="mlp", data="0" * 64,
    recipe=Recipe(mode="matched", epochs=1), formats=("onnx",),
)  # fmt: skip


@pytest.mark.parametrize("spec", [PREPARE, TRAIN])
def test_a_spec_survives_its_json(spec: PrepareSpec | TrainSpec) -> None:
    assert parse_trainer_spec(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "trian"}, "trian"),
        ({"seed": -1}, r"seed.*greater than or equal to 0 \(got -1\)"),
        ({"seed": 1.5}, "seed"),
        ({"formats": []}, "formats"),
        ({"framework": "caffe"}, r"framework.*'keras'.*\(got 'caffe'\)"),
        ({"experiment": "Über"}, "experiment"),
        ({"data": "short"}, "data"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_wrong_trainer_spec_names_key_and_value(change: dict[str, object], message: str) -> None:
    text = canonical_json({**TRAIN.model_dump(mode="json"), **change})
    with pytest.raises(InvalidInputError, match=f"trainer spec is not valid: .*{message}"):
        parse_trainer_spec(text)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"kind": "evaluate"}'])
def test_text_that_is_no_spec_is_an_input_error(text: str) -> None:
    with pytest.raises(InvalidInputError, match="spec is not valid"):
        parse_trainer_spec(text)
    with pytest.raises(InvalidInputError, match="spec is not valid"):
        parse_evaluator_spec(text)


def test_a_model_is_named_by_experiment_arm_framework_seed_and_format() -> None:
    assert TRAIN.model_name("onnx") == "e-a-keras-s0-onnx"


def test_infinity_and_nan_are_not_numbers() -> None:
    with pytest.raises(InvalidInputError, match="learning_rate"):
        parse_json(
            Recipe, '{"mode": "matched", "epochs": 1, "optimizer": {"name": "adam", "learning_rate": Infinity}}', "r"
        )
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


@pytest.mark.parametrize(
    "change",
    [{"filter": "box"}, {"filter": "lanczos"}, {"geometry": "crop"}, {"geometry": "pad"}],
)
def test_sampling_without_antialiasing_is_limited_to_what_it_can_do(change: dict[str, str]) -> None:
    with pytest.raises(pydantic.ValidationError, match="antialias: false goes with"):
        ImageSpec(**IMAGE, antialias=False, **change)


@pytest.mark.parametrize("size", [0, -1, 4097])
def test_image_sizes_have_limits(size: int) -> None:
    with pytest.raises(pydantic.ValidationError):
        ImageSpec(height=size, width=8)


@pytest.mark.parametrize(("color", "channels"), [("grey", 1), ("rgb", 3)])
def test_the_colour_mode_decides_the_channels(color: str, channels: int) -> None:
    assert ImageSpec(height=2, width=3, color=color).shape == (2, 3, channels)


@pytest.mark.parametrize("policy", ["stratified", "contiguous"])
def test_shares_must_leave_something_to_train_on(policy: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="leave nothing to train on"):
        SplitSpec(policy=policy, validation=0.5, test=0.5)
    # The source's own test split makes the share of test meaningless.
    assert SplitSpec(policy="given", validation=0.5, test=0.5).test == 0.5


@pytest.mark.parametrize("text", ["0.1", "0.25", "1", "8"])
def test_validation_is_a_share_or_a_whole_number_of_images_and_stays_as_it_was_written(text: str) -> None:
    split = parse_json(SplitSpec, f'{{"policy": "stratified", "validation": {text}}}', "split")
    assert canonical_json(split.model_dump(mode="json")["validation"]) == text
    assert SplitSpec.model_validate_json(split.model_dump_json()) == split


@pytest.mark.parametrize("text", ["0", "-1", "1.0", "1.5", "8.0", "true"])
def test_what_is_neither_a_share_nor_a_number_of_images_is_refused(text: str) -> None:
    expected = r"validation: expected a share between 0 and 1, or a whole number of images of every class \(got"
    with pytest.raises(InvalidInputError, match=expected):
        parse_json(SplitSpec, f'{{"validation": {text}}}', "split")


def test_a_number_of_validation_images_and_folds_exclude_each_other() -> None:
    with pytest.raises(pydantic.ValidationError, match="validation 8 has no meaning with folds"):
        SplitSpec(validation=8, folds=5)


def test_what_specs_with_a_share_are_known_by_does_not_change() -> None:
    assert content_id("prepare", PREPARE) == "prepare-a3a67f7ab5f61586"


def test_an_id_depends_on_spec_and_inputs_only() -> None:
    same = PrepareSpec.model_validate_json(PREPARE.model_dump_json())
    assert content_id("prepare", PREPARE, "x") == content_id("prepare", same, "x")
    assert content_id("prepare", PREPARE, "x") != content_id("prepare", PREPARE, "y")
    assert content_id("prepare", PREPARE, "x") != content_id("prepare", TRAIN, "x")
    assert content_id("prepare", PREPARE).startswith("prepare-")


def test_matched_recipes_are_complete_by_themselves() -> None:
    assert Recipe.model_validate(complete("matched", {"epochs": 1})).optimizer.learning_rate == 1e-3


def test_idiomatic_recipes_leave_to_the_framework_what_nobody_wrote() -> None:
    recipe = Recipe.model_validate(complete("idiomatic", {"epochs": 1, "optimizer": {"learning_rate": 0.5}}))
    assert recipe.optimizer.learning_rate == 0.5
    assert isinstance(recipe.optimizer, Adam)
    assert recipe.optimizer.epsilon is None
    assert recipe.pipeline == "framework"
    assert recipe.batch_norm.momentum is None


def test_an_evaluator_spec_survives_its_json() -> None:
    spec = EvaluateSpec(model="m", version=1, artifact="0" * 64, runtime="onnxruntime", data="0" * 64)
    assert parse_evaluator_spec(spec.model_dump_json()) == spec


def test_a_path_is_short_for_pretrained_weights_with_a_new_head() -> None:
    recipe = Recipe.model_validate({"mode": "matched", "epochs": 1, "pretrained": "w.pth"})
    assert recipe.pretrained == Pretrained(weights="w.pth", head="replace")


@pytest.mark.parametrize(
    "given", ["", {"weights": ""}, {"weights": "w", "head": "new"}, {"weights": "w", "sha256": "x"}]
)
def test_pretrained_weights_are_validated(given: object) -> None:
    with pytest.raises(pydantic.ValidationError, match="pretrained"):
        Recipe.model_validate({"mode": "matched", "epochs": 1, "pretrained": given})


def test_pretrained_weights_bring_their_epsilon_unless_it_is_written() -> None:
    given = {"epochs": 1, "pretrained": "imagenet"}
    assert Recipe(**complete("idiomatic", given)).batch_norm.epsilon == 1e-5
    assert Recipe(**complete("idiomatic", {"epochs": 1})).batch_norm.epsilon is None
    written = {**given, "batch_norm": {"momentum": None, "epsilon": 1e-3}}
    assert Recipe(**complete("idiomatic", written)).batch_norm.epsilon == 1e-3


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("a", True),
        ("a-1", True),
        ("a" * 63, True),
        ("a" * 64, False),
        ("", False),
        ("-a", False),
        ("A", False),
        ("a\n", False),
        ("../a", False),
    ],
)
def test_a_name_without_a_schema_is_judged_as_one_with(name, good):
    assert bool(NAME.match(name)) is good
    try:
        pydantic.TypeAdapter(Name).validate_python(name)
    except pydantic.ValidationError:
        assert not good
    else:
        assert good
