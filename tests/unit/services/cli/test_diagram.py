"""A network as a picture and as a line of text."""

from xml.etree import ElementTree

import pytest
from bakeoff.trainer.v1 import trainer_service_pb2 as pb

from services.cli import diagram

Row = tuple[str, str, tuple[int, ...], int, int]
STEM: list[Row] = [
    ("conv1", "conv 4 3×3 pad 1 no bias", (8, 8, 4), 108, 0),
    ("batchnorm1", "batch norm", (8, 8, 4), 16, 0),
    ("relu1", "relu", (8, 8, 4), 0, 0),
]


def block(path: str, projected: bool = False) -> list[Row]:
    first = "conv 4 3×3 stride 2 pad 1" if projected else "conv 4 3×3 pad 1"
    side = [(f"{path}.shortcut.conv1", "conv 4 1×1 stride 2", (8, 8, 4), 20, 1)] if projected else []
    return [
        (path, "residual, projection" if projected else "residual", (8, 8, 4), 0, 0),
        (f"{path}.body.conv1", first, (8, 8, 4), 148, 1),
        (f"{path}.body.relu1", "relu", (8, 8, 4), 0, 1),
        (f"{path}.body.conv2", "conv 4 3×3 pad 1", (8, 8, 4), 148, 1),
        *side,
    ]


def described(rows: list[Row]) -> pb.DescribeArchitectureResponse:
    layers = [
        pb.LayerRow(path=path, type=kind, output_shape=shape, parameters=parameters, depth=depth)
        for path, kind, shape, parameters, depth in rows
    ]
    return pb.DescribeArchitectureResponse(
        name="net", input_shape=(8, 8, 3), classes=2, layers=layers, trainable_parameters=10, frozen_parameters=2
    )


def test_norms_and_activations_join_the_layer_before_them() -> None:
    found = diagram.blocks(described(STEM))
    assert [(b.kind, b.strips, b.parameters) for b in found] == [
        ("conv 4 3×3 pad 1 no bias", ("batch norm", "relu"), 124)
    ]


def test_a_residual_block_says_what_it_adds_and_counts_what_is_inside() -> None:
    plain, projected = diagram.blocks(described([*STEM, *block("residual1"), *block("residual2", projected=True)]))[1:]
    assert (plain.kind, plain.parameters, plain.projected) == ("residual (2 × conv 4 3×3 pad 1)", 296, False)
    assert projected.kind == "residual, projection (conv 4 3×3 stride 2 pad 1, conv 4 3×3 pad 1)"
    assert (projected.parameters, projected.projected) == (316, True)


def test_equal_neighbours_are_drawn_once_and_counted() -> None:
    found = described([*STEM, *block("residual1"), *block("residual2"), *block("residual3", projected=True)])
    assert [b.times for b in diagram.blocks(found)] == [1, 2, 1]
    assert "2 × residual (2 × conv 4 3×3) [8×8×4] → residual, projection" in diagram.text(found)
    assert "×2</text>" in diagram.svg(found)


def test_only_a_projection_has_a_dashed_shortcut() -> None:
    plain, projected = (diagram.svg(described(block("residual1", flag))) for flag in (False, True))
    assert "stroke-dasharray" not in plain
    assert projected.count("stroke-dasharray") == 1


def test_a_network_that_begins_with_an_activation_is_drawn() -> None:
    found = described([("relu1", "relu", (8, 8, 3), 0, 0), ("flatten1", "flatten", (192,), 0, 0)])
    assert [b.kind for b in diagram.blocks(found)] == ["relu", "flatten"]


@pytest.mark.parametrize("repeats", [1, 40])
def test_the_picture_is_valid_and_every_label_ends_inside_it(repeats: int) -> None:
    rows = [row for i in range(repeats) for row in block(f"residual{i}", projected=i % 2 == 1)]
    root = ElementTree.fromstring(diagram.svg(described([*STEM, *rows])))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        if "transform" not in text.attrib:
            continue
        x, y = map(float, text.attrib["transform"].removeprefix("translate(").split(")")[0].split())
        # 5.5 pixels a letter of this size, slanted by 38 degrees.
        assert x + len(text.text or "") * 5.5 * 0.79 <= width
        assert y + len(text.text or "") * 5.5 * 0.62 <= height
