"""torchvision's tensors as canonical weights; that the networks then agree is the contract suite's."""

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.schemas.recipe import Recipe, complete
from trainer.architectures import get_architecture
from trainer.layers import Architecture
from trainer.pretrained import MODULES, check_tensors, to_canonical, torchvision_names

Tensors = dict[str, NDArray[np.float32]]
RESNET = get_architecture("resnet18", (64, 64, 3), 10)


def torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]


def tensors(architecture: Architecture) -> Tensors:
    """Zeros under torchvision's names, in torch's layout; torch's batch counters included."""
    found = {
        name: np.zeros(torch_shape(architecture.parameters[key].shape), np.float32)
        for key, name in torchvision_names(architecture).items()
    }
    counters = {name.replace("running_mean", "num_batches_tracked") for name in found if "running_mean" in name}
    return found | {name: np.zeros((), np.float32) for name in counters}


def check(given: Tensors, architecture: Architecture = RESNET, keep: bool = True) -> None:
    check_tensors({name: tensor.shape for name, tensor in given.items()}, architecture, keep, "f.pth")


@pytest.mark.parametrize("name", MODULES)
def test_every_weight_has_one_name_of_its_own(name: str) -> None:
    network = get_architecture(name)
    names = torchvision_names(network)
    assert names.keys() == network.parameters.keys()
    assert len(set(names.values())) == len(names)


def test_names_are_those_of_torchvisions_state_dict() -> None:
    names = torchvision_names(get_architecture("resnet34"))
    assert names["conv1/kernel"] == "conv1.weight"
    assert names["residual1.body.batchnorm2/moving_variance"] == "layer1.0.bn2.running_var"
    assert names["residual4.shortcut.conv1/kernel"] == "layer2.0.downsample.0.weight"
    assert names["residual16.body.conv2/kernel"] == "layer4.2.conv2.weight"
    assert names["dense1/bias"] == "fc.bias"
    vgg = torchvision_names(get_architecture("vgg11"))
    assert [vgg[f"conv{i}/bias"] for i in (1, 2, 3, 8)] == [f"features.{i}.bias" for i in (0, 3, 6, 18)]
    assert [vgg[f"dense{i}/kernel"] for i in (1, 2, 3)] == [f"classifier.{i}.weight" for i in (0, 3, 6)]


def test_an_average_pool_at_the_end_leaves_vggs_names_alone() -> None:
    assert torchvision_names(get_architecture("vgg11", (448, 448, 3))) == torchvision_names(get_architecture("vgg11"))


def test_kernels_change_their_axes_and_vectors_do_not() -> None:
    given = tensors(RESNET)
    draw = np.random.default_rng(0)
    given["conv1.weight"] = draw.random((64, 3, 7, 7), np.float32)
    given["fc.weight"] = draw.random((10, 512), np.float32)
    given["bn1.running_mean"] = draw.random(64, np.float32)
    weights = to_canonical(given, RESNET, keep_head=True)
    assert weights.keys() == RESNET.parameters.keys()
    assert weights["conv1/kernel"][2, 5, 1, 40] == given["conv1.weight"][40, 1, 2, 5]
    np.testing.assert_array_equal(weights["dense1/kernel"], given["fc.weight"].T)
    np.testing.assert_array_equal(weights["batchnorm1/moving_mean"], given["bn1.running_mean"])
    assert all(weights[key].shape == parameter.shape for key, parameter in RESNET.parameters.items())


def test_a_dense_layer_after_flatten_sees_the_same_pixels_in_our_order() -> None:
    net = get_architecture("vgg11", (96, 64, 3), 5)
    given = tensors(net)
    draw = np.random.default_rng(1)
    given["classifier.0.weight"] = draw.random((4096, 512 * 3 * 2), np.float32)
    image = draw.random((3, 2, 512), np.float32)
    ours = image.reshape(-1) @ to_canonical(given, net, keep_head=False)["dense1/kernel"]
    theirs = given["classifier.0.weight"] @ image.transpose(2, 0, 1).reshape(-1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_without_its_head_a_file_may_have_another_number_of_classes_or_no_last_layer() -> None:
    given = tensors(get_architecture("resnet18"))
    check(given, keep=False)
    assert RESNET.parameters.keys() - to_canonical(given, RESNET, keep_head=False).keys() == {
        "dense1/kernel",
        "dense1/bias",
    }
    del given["fc.weight"], given["fc.bias"]
    check(given, keep=False)


def test_a_kept_head_must_have_the_number_of_classes() -> None:
    expected = r"f.pth: 'fc.weight' has shape \(1000, 512\).*10 classes.*\(10, 512\); write head: replace"
    with pytest.raises(InvalidInputError, match=expected):
        check(tensors(get_architecture("resnet18")))


@pytest.mark.parametrize(
    ("file", "network", "message"),
    [
        ("resnet34", "resnet18", "has 'layer1.2.bn1.bias', .* besides; it looks like resnet34"),
        ("resnet18", "resnet34", "lacks 'layer1.2.bn1.bias', .* and 77 more; it looks like resnet18"),
        ("vgg11", "resnet18", "it looks like vgg11"),
    ],
)
def test_another_networks_file_is_recognised(file: str, network: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=f"f.pth does not hold {network}: it {'.*'}{message}"):
        check(tensors(get_architecture(file, (32, 32, 3), 10)), get_architecture(network), keep=False)


def test_a_missing_an_unknown_and_a_misshapen_tensor_are_named() -> None:
    given = tensors(RESNET)
    with pytest.raises(InvalidInputError, match=r"it has 'extra' besides"):
        check({**given, "extra": np.zeros(1, np.float32)})
    with pytest.raises(InvalidInputError, match=r"'bn1.weight' has shape \(3,\), resnet18 .* expects \(64,\)"):
        check({**given, "bn1.weight": np.zeros(3, np.float32)})
    del given["layer1.0.conv1.weight"]
    with pytest.raises(InvalidInputError, match=r"it lacks 'layer1.0.conv1.weight'$"):
        check(given)


def test_vgg_weights_do_not_fit_images_of_another_size() -> None:
    large, small = get_architecture("vgg11"), get_architecture("vgg11", (64, 64, 3), 5)
    shapes = {name: torch_shape(large.parameters[key].shape) for key, name in torchvision_names(large).items()}
    with pytest.raises(InvalidInputError, match=r"'classifier.0.weight'.*64×64×3.*one multiple of 7, as those of 224"):
        check_tensors(shapes, small, False, "f.pth")


def test_values_that_are_not_finite_are_refused() -> None:
    given = tensors(RESNET)
    given["bn1.bias"][3] = np.nan
    with pytest.raises(InvalidInputError, match=r"'bn1.bias' hold values that are not finite"):
        to_canonical(given, RESNET, keep_head=False)


def test_a_network_torchvision_does_not_have_is_refused_with_those_it_has() -> None:
    with pytest.raises(InvalidInputError, match=r"no pretrained weights for cnn5.*resnet18, resnet34, vgg11"):
        torchvision_names(get_architecture("cnn5"))


@pytest.mark.parametrize("mode", ["matched", "idiomatic"])
def test_pretrained_weights_bring_the_normalisation_they_were_trained_with_unless_one_is_written(mode: str) -> None:
    def normalization(**keys: object) -> str:
        return Recipe.model_validate(complete(mode, {"epochs": 1, **keys})).normalization

    assert normalization() == normalization(pretrained=None) == "unit"
    assert normalization(pretrained="imagenet") == normalization(pretrained={"weights": "w.pth"}) == "imagenet"
    assert normalization(pretrained="imagenet", normalization="unit") == "unit"
