from pathlib import Path

import pytest

from core.errors import InvalidInputError, NotFoundError
from services.orchestrator.experiment_file import Misfit, MisfitError, read_experiment

ROOT = Path(__file__).parents[4]
SMALL = """\
name: small
title: Small
data:
  source: {kind: digits}
  image: {height: 8, width: 8, color: grey}
arms:
  matched:
    architecture: digits-cnn
    recipe: {epochs: 2}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "small.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_that_comes_with_bakeoff_is_valid(path: Path) -> None:
    assert read_experiment(path).name == path.stem


def test_every_default_becomes_explicit(tmp_path: Path) -> None:
    experiment = read_experiment(write(tmp_path, SMALL))
    assert experiment.frameworks == ("keras", "tensorflow", "pytorch", "fastai")
    assert experiment.arms["matched"].recipe.optimizer.learning_rate == 1e-3
    assert experiment.formats_of("keras", 0) == ("keras", "savedmodel", "onnx")


def test_idiomatic_leaves_defaults_to_the_framework_and_keeps_what_was_written(tmp_path: Path) -> None:
    text = SMALL.replace(
        "recipe: {epochs: 2}", "mode: idiomatic\n    recipe: {epochs: 2, optimizer: {learning_rate: 0.01}}"
    )
    recipe = read_experiment(write(tmp_path, text)).arms["matched"].recipe
    assert (recipe.initializer, recipe.pipeline, recipe.arithmetic) == ("framework",) * 3
    assert (recipe.optimizer.learning_rate, recipe.batch_norm.epsilon) == (0.01, None)


def test_an_override_wins_over_the_file(tmp_path: Path) -> None:
    experiment = read_experiment(
        write(tmp_path, SMALL), ["arms.matched.recipe.epochs=7", "seeds=[3, 4]", "loadtest=null"]
    )
    assert experiment.arms["matched"].recipe.epochs == 7
    assert experiment.seeds == (3, 4)
    assert experiment.loadtest is None


@pytest.mark.parametrize(("written", "name"), [("", "adam"), (", optimizer: sgd", "sgd")])
def test_an_override_keeps_the_optimizer_that_the_file_names_alone(tmp_path: Path, written: str, name: str) -> None:
    text = SMALL.replace("{epochs: 2}", f"{{epochs: 2{written}}}")
    experiment = read_experiment(write(tmp_path, text), ["arms.matched.recipe.optimizer.learning_rate=1e-4"])
    found = experiment.arms["matched"].recipe.optimizer
    assert (found.name, found.learning_rate) == (name, 1e-4)


def test_data_replaces_the_place_of_the_source(tmp_path: Path) -> None:
    text = SMALL.replace("{kind: digits}", "{kind: folder, path: /nowhere}")
    source = read_experiment(write(tmp_path, text), data="/images").data.source
    assert source.model_dump() == {"kind": "folder", "path": "/images"}


def test_a_hub_name_in_a_folders_place_is_a_data_set_of_the_hub(tmp_path: Path) -> None:
    text = SMALL.replace("{kind: digits}", "{kind: folder, path: /nowhere}")
    source = read_experiment(write(tmp_path, text), data="somebody/asl-alphabet").data.source
    assert source.model_dump(exclude_none=True) == {"kind": "dataset", "name": "somebody/asl-alphabet"}
    for path in ("/nowhere/else", "../asl", "./images/asl", "a/b/c"):
        missing = read_experiment(write(tmp_path, text), data=path).data.source
        assert missing.model_dump() == {"kind": "folder", "path": path}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: digits", "kind: digit", r"small.yaml:4: data.source: .*'digit'.*'digits', 'folder', 'dataset'"),
        ("color: grey", "color: gray", r"small.yaml:5: data.image.color: .*'grey' or 'rgb' \(got 'gray'\)"),
        ("epochs: 2", "epoch: 2", r"small.yaml:9: arms.matched.recipe.epoch: unknown key; known: .*epochs"),
        ("epochs: 2", "epochs: 0", r"small.yaml:9: arms.matched.recipe.epochs: .*greater than or equal to 1 \(got 0\)"),
        ("name: small", "name: Small Net", r"small.yaml:1: name: .*got 'Small Net'"),
        ("digits-cnn", "digits-cn", r"small.yaml:8: arms.matched.architecture: .*'digits-cn'; known: mlp, .*vgg11"),
        ("digits-cnn", "asl-grid-d3-u32-c1", r"small.yaml:8: arms.*: d3 not allowed; expected asl-grid-d<0\|1\|2>"),
        (
            "title: Small",
            "variants: [int4]",
            r"small.yaml:2: variants.0: .*'int8', 'openvino' or 'openvino-bf16'.*int4",
        ),
        ("title: Small", "title: Small\nvariants: [int8, int8]", r"small.yaml:3: variants: has duplicates"),
        ("title: Small", "titel: Small", r"small.yaml:2: titel: unknown key; known: arms, attribution, data, .*title"),
    ],
)
def test_an_error_names_line_key_and_what_is_allowed(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read_experiment(write(tmp_path, SMALL.replace(old, new)))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seeds=[1, 1]", "seeds has duplicates"),
        ("formats={keras: [pt2]}", r"formats.keras: \['pt2'\] not among what it exports"),
        ("loadtest.arms=[other]", r"names \['other'\]; the arms are \['matched'\]"),
        ("name=" + "x" * 40, "characters, 63 are allowed"),
        ("variants={int8: true}", "variants: Input should be a valid tuple"),
        ("frameworks=[]", "at least 1"),
        ("seeds", "expected key.path=value"),
        ("seeds=[0", "not valid YAML after the '='"),
        ("title=\x07", "not valid YAML after the '=': unacceptable character"),
        (
            "arms.matched={architecture: mlp, mode: idiomatic, recipe: {epochs: 1, optimizer: [adam]}}",
            "recipe.optimizer",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read_experiment(write(tmp_path, SMALL), [override])


def test_variants_need_an_onnx_artefact_to_be_made_of(tmp_path: Path) -> None:
    only = ["frameworks=[pytorch]", "formats={pytorch: [pt2]}", "variants=[openvino]"]
    with pytest.raises(InvalidInputError, match="variants are made of ONNX artefacts; add onnx to formats"):
        read_experiment(write(tmp_path, SMALL), only)


def test_the_name_of_an_int8_model_counts_too(tmp_path: Path) -> None:
    file, name = write(tmp_path, SMALL), "name=" + "x" * 33
    only = ["frameworks=[tensorflow]", "formats={tensorflow: [onnx]}"]
    assert read_experiment(file, [*only, name]).name == "x" * 33
    with pytest.raises(InvalidInputError, match="-onnx-int8' has 65 characters"):
        read_experiment(file, [*only, name, "variants=[int8]"])


@pytest.mark.parametrize("block", ["5", "{source: 5}", "{source: {kind: digits}}"])
def test_data_without_a_place_cannot_be_replaced(tmp_path: Path, block: str) -> None:
    with pytest.raises(InvalidInputError, match="--data goes with"):
        read_experiment(write(tmp_path, SMALL), [f"data={block}"], data="/images")


@pytest.mark.parametrize("source", ["{kind: folder, path: /nowhere}", "{kind: dataset, name: owner/pets}"])
def test_a_place_that_is_empty_is_not_the_current_folder(tmp_path: Path, source: str) -> None:
    text = SMALL.replace("{kind: digits}", source)
    with pytest.raises(InvalidInputError, match="--data is empty, as a variable that is not set is; expected a folder"):
        read_experiment(write(tmp_path, text), data="")
    key = "name" if "name" in source else "path"
    with pytest.raises(InvalidInputError, match=rf"data.source.*{key}: String should have at least 1 character"):
        read_experiment(write(tmp_path, text), [f"data.source.{key}=''"])


def test_data_that_exists_here_is_found_wherever_the_service_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path)
    text = SMALL.replace("{kind: digits}", "{kind: folder, path: /nowhere}")
    source = read_experiment(write(tmp_path, text), data="images").data.source
    assert source.model_dump()["path"] == str(tmp_path / "images")


def test_several_problems_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as raised:
        read_experiment(write(tmp_path, SMALL.replace("epochs: 2", "epochs: x").replace("grey", "gray")))
    assert len(str(raised.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [1,\n", r"small.yaml:2: not valid YAML"), ("- a\n", "expected a mapping"), ("", "expected a mapping")],
)
def test_a_file_that_is_no_experiment_says_so(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read_experiment(write(tmp_path, text))


def test_bytes_that_are_no_text_are_refused_with_the_files_name(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    for content in (b"name: \xff\xfe\n", b"name: a\x00b\n"):
        path.write_bytes(content)
        with pytest.raises(InvalidInputError, match=r"small.yaml: not text that YAML allows"):
            read_experiment(path)


def test_a_missing_file_names_where_experiments_are(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="experiments/"):
        read_experiment(tmp_path / "none.yaml")


def test_what_a_service_refuses_is_told_with_the_line_of_each_arm(tmp_path: Path) -> None:
    more = "  matched-own:\n    architecture: mlp\n    recipe: {epochs: 2}\n"
    more += "  18: {architecture: mlp, recipe: {epochs: 2}}\n"
    refused = MisfitError([
        Misfit(("arms", "matched", "architecture"), "larger images"),
        Misfit(("arms", "matched-own-small"), "no weights"),
        Misfit(("arms", "18-contiguous"), "no weights"),
        Misfit(("arms", "only-optimizer"), "no weights"),
    ])  # fmt: skip
    path = write(tmp_path, SMALL + more)
    assert str(refused.placed(path)).splitlines() == [
        f"{path}:8: arms.matched.architecture: larger images",
        f"{path}:10: arms.matched-own-small: no weights",
        f"{path}:13: arms.18-contiguous: no weights",
        f"{path}:6: arms.only-optimizer: no weights",
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_frozen_experiment_of_a_report_is_an_experiment_file_again(path: Path, tmp_path: Path) -> None:
    experiment = read_experiment(path)
    frozen = tmp_path / "frozen.json"
    frozen.write_text(experiment.model_dump_json())
    assert read_experiment(frozen) == experiment
