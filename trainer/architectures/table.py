"""The networks as docs/architectures.md lists them."""

from trainer.architectures import ARCHITECTURES, FAMILIES, get_architecture
from trainer.layers import Architecture

INTRODUCTION = """# Networks

Written by `make docs`. Counts are for the input and the number of classes a network was designed for; it is built for
whatever the data has. `bakeoff architectures NAME --input 64x64x3 --classes 29` shows every layer of one.

| name | input | classes | head | trained parameters | fixed | |
|---|---|---|---|---|---|---|
"""
NOTES = """
**Activations, pools, dropout.** A name may go on with `-tanh` or `-sigmoid` (in place of every ReLU), with `-average`
(in place of every max pool), and with `-nodropout`: `asl-cnn-tanh-average`, `cats-dogs-cnn-nodropout`. A network
without what is replaced or left out is refused when it is built, and `pretrained` goes with the plain names only.
Parameters stay the same, and a search can try them:
`architecture: [asl-cnn, asl-cnn-tanh, asl-cnn-sigmoid, asl-cnn-average]`.

**Heads.** `softmax`: one logit per class. `sigmoid`: one logit for two classes, exported as [σ(−z), σ(z)].
`normalized_sigmoid`: one per class, exported as σᵢ / Σσ, the distribution its loss optimises; S1 ends in sigmoids over
29 classes that exclude each other, and `asl-cnn-softmax` shows what that costs or gains.

**What the studies leave open.** S1's two dense layers have no activation between them, because the study names none.
Its grid puts one number of units and filters in every layer. Its strided nets have filters 8, 16, 32, 64, 128 and end
in one dense layer, which fits images of any size. S4 gives no sizes: `cats-dogs-cnn` has the usual ones of its data.

**ResNet and VGG** are torchvision's, layer for layer, and take its weights (`pretrained` in
[experiment files](experiments.md)). `vgg11` flattens its last feature map as it is unless that is a whole multiple of
7×7, which it averages to 7×7 as torchvision does; torchvision blows smaller maps up to 7×7, which adds weights and no
information. So its pretrained weights go with images whose sides, divided by 32 and rounded down, are one multiple of
7: from 224 to 255 pixels, from 448 to 479, and so on.

**Refused** are layers that are undefined: a pool padded by more than half its window, a dropout of everything, and a
training whose last batch is a single image where batch norm sees one value per image and channel.
"""


def markdown() -> str:
    """The page."""
    rows = [_row(name, get_architecture(name)) for name in ARCHITECTURES]
    for family in FAMILIES:
        members = [get_architecture(name) for name in family.name.names()]
        trained = sorted(member.count(trainable=True) for member in members)
        first = members[0]
        cells = [f"`{family.name.syntax}`".replace("|", "\\|"), _size(first), str(first.classes), first.head]
        rows.append(_cells([*cells, f"{trained[0]:,} – {trained[-1]:,}", "0", family.description]))
    return INTRODUCTION + "\n".join(rows) + "\n" + NOTES


def _row(name: str, network: Architecture) -> str:
    counts = [f"{network.count(trainable):,}" for trainable in (True, False)]
    return _cells([f"`{name}`", _size(network), str(network.classes), network.head, *counts, network.description])


def _size(network: Architecture) -> str:
    return "×".join(map(str, network.input_shape))


def _cells(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(markdown(), end="")
