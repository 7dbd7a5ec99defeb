"""Arms that do not fit their data, with the trainer service's own layer tables."""

from typing import Any

import pytest
from bakeoff.trainer.v1.trainer_service_pb2 import DescribeArchitectureResponse, LayerRow

from core.errors import InvalidInputError, NotReadyError
from core.schemas.experiment import Experiment
from services.orchestrator.experiment_file import MisfitError
from services.orchestrator.fitting import check_arms
from trainer.architectures import get_architecture

CLASSES = ("cat", "dog", "horse")
GRID = {"arm": "net", "framework": "keras", "method": "grid"}


class Describing:
    """Describes networks as the service does."""

    def describe(self, name: str, shape: Any, classes: int) -> DescribeArchitectureResponse:
        found = get_architecture(name, shape, classes or None)
        rows = [
            LayerRow(path=node.path, parameters=sum(p.size for p in node.parameters.values()), depth=depth)
            for depth, node in found.walk()
        ]
        return DescribeArchitectureResponse(name=found.name, layers=rows)


def experiment(architecture: str = "resnet18", search: Any = None, **recipe: Any) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "small",
            "title": "Small",
            "data": {"source": {"kind": "folder", "path": "/pictures"}, "image": {"height": 64, "width": 64}},
            "arms": {"net": {"architecture": architecture, "recipe": {"epochs": 3, **recipe}}},
            "search": search,
        }
    )


def check(of: Experiment, classes: tuple[str, ...] = CLASSES) -> list[str]:
    return list(check_arms(of, Describing(), classes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arm", "key", "message"),
    [
        (
            {"architecture": "mlp", "class_weights": {"dgo": 2, "cat": 1}},
            "class_weights",
            "names 'dgo'; the classes are",
        ),
        (
            {"freeze": {"until": "layer4", "epochs": 1}},
            "freeze",
            "'layer4' is no layer of resnet18's trunk; layers: conv",
        ),
        ({"freeze": {"until": "conv1", "epochs": 1}}, "freeze", "leaves nothing to freeze in resnet18"),
        (
            {"freeze": [{"until": "residual7", "epochs": 1}, {"until": "head", "epochs": 1}]},
            "freeze",
            "each stage must thaw more than the one before it, got until: residual7, head",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused_with_its_key(arm: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(MisfitError, match=message) as refused:
        check(experiment(**arm))
    assert [one.key for one in refused.value.misfits] == [("arms", "net", "recipe", key)]


def test_a_network_that_does_not_fit_the_images_is_refused_with_its_key() -> None:
    small = {"source": {"kind": "folder", "path": "/pictures"}, "image": {"height": 8, "width": 8}}
    of = experiment("vgg11").model_dump() | {"data": small}
    with pytest.raises(MisfitError, match="use larger images") as refused:
        check(Experiment.model_validate(of))
    assert [one.key for one in refused.value.misfits] == [("arms", "net", "architecture")]


def test_a_recipe_that_fits_gives_the_networks_for_their_graphs() -> None:
    freeze = [{"until": "head", "epochs": 1}, {"until": "residual7", "epochs": 1}]
    assert check(experiment(freeze=freeze, class_weights={"dog": 2.0})) == ["resnet18"]
    assert check(experiment(class_weights="balanced")) == ["resnet18"]


def test_classes_that_are_not_known_before_the_images_are_read_are_left_to_the_trainer() -> None:
    assert check(experiment(class_weights={"dgo": 2.0}), ()) == ["resnet18"]


def test_the_networks_of_trials_are_described_too_and_a_misfit_stops_nobody() -> None:
    search = {**GRID, "space": {"architecture": ["mlp", "cifar-cnn3"]}}
    # Of this arm's layers the searched networks have none: their trials say so.
    of = experiment(search=search, freeze={"until": "residual7", "epochs": 1})
    assert check(of) == ["resnet18", "mlp", "cifar-cnn3"]
    describe = Describing()

    class Partly(Describing):
        def describe(self, name: str, shape: Any, classes: int) -> DescribeArchitectureResponse:
            if name == "mlp":
                raise InvalidInputError("use larger images")
            return describe.describe(name, shape, classes)

    assert list(check_arms(of, Partly(), CLASSES)) == ["resnet18", "cifar-cnn3"]  # type: ignore[arg-type]


def test_figures_for_colours_are_refused_for_grey_images() -> None:
    grey = experiment("mlp", normalization="imagenet").model_dump()
    grey["data"]["image"]["color"] = "grey"
    with pytest.raises(MisfitError, match="normalization imagenet needs colour images") as found:
        check(Experiment.model_validate(grey))
    assert [one.key for one in found.value.misfits] == [("arms", "net", "recipe", "normalization")]


def test_what_does_not_fit_of_several_arms_is_told_together() -> None:
    arms = experiment(class_weights={"dgo": 2.0}, freeze={"until": "layer4", "epochs": 1}).model_dump()
    arms["arms"]["other"] = {"architecture": "mlp", "recipe": {"epochs": 1, "class_weights": {"cta": 2.0}}}
    with pytest.raises(MisfitError) as found:
        check(Experiment.model_validate(arms))
    assert [one.key for one in found.value.misfits] == [
        ("arms", "net", "recipe", "class_weights"),
        ("arms", "net", "recipe", "freeze"),
        ("arms", "other", "recipe", "class_weights"),
    ]


@pytest.mark.parametrize("search", [None, {**GRID, "space": {"architecture": ["mlp"]}}])
def test_a_trainer_that_goes_away_is_no_mistake_in_the_file(search: Any) -> None:
    describe = Describing()

    class Away(Describing):
        def describe(self, name: str, shape: Any, classes: int) -> DescribeArchitectureResponse:
            if search and name == "resnet18":
                return describe.describe(name, shape, classes)
            raise NotReadyError("host:1 is not available")

    with pytest.raises(NotReadyError):
        check_arms(experiment(search=search), Away(), CLASSES)  # type: ignore[arg-type]
