"""A network for torch, shared by pytorch and fastai: canonical architecture in, `nn.Module` out."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.schemas.recipe import BatchNormSpec, Origin
from trainer.framework import BuildSettings
from trainer.layers import (
    Activation,
    Architecture,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    Head,
    Node,
    Pool,
    Residual,
)

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class MaskedDropout(nn.Dropout):
    """Dropout that uses a given mask once and draws its own while it has none."""

    mask: Tensor | None = None
    """uint8, channels last, 1 keeps a value; the scaling by 1 / (1 − rate) happens here."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.mask is None:
            return super().forward(input)
        mask, self.mask = self.mask, None
        if input.dim() == 4:
            mask = mask.permute(0, 3, 1, 2)
        return input * mask.to(input.dtype).mul_(1.0 / (1.0 - self.p))


class FlattenHwc(nn.Module):
    """Images [n, c, h, w] to vectors in height, width, channel order: no copy where memory is channels last."""

    def forward(self, input: Tensor) -> Tensor:
        return input.permute(0, 2, 3, 1).flatten(1) if input.dim() == 4 else input


class GlobalAverage(nn.Module):
    """Mean over height and width: [n, c, h, w] to [n, c]."""

    def forward(self, input: Tensor) -> Tensor:
        return input.mean(dim=(2, 3))


class ResidualBlock(nn.Module):
    """body(x) + shortcut(x)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, input: Tensor) -> Tensor:
        return self.body(input) + self.shortcut(input)


def head_scores(head: Head, logits: Tensor) -> Tensor:
    """Unnormalised log-probabilities [n, classes]: their softmax is what the head means by `logits`.

    softmax([0, z]) is [σ(−z), σ(z)], and softmax(log σ(z)) is σᵢ / Σσ, both without overflow.
    """
    if head == "sigmoid":
        return torch.cat([torch.zeros_like(logits), logits], dim=1)
    return functional.logsigmoid(logits) if head == "normalized_sigmoid" else logits


class Network(nn.Module):
    """Raw pixels to logits: uint8 [n, height, width, channels] → [n, logits] in the network's dtype."""

    scale: Tensor
    shift: Tensor
    reduced = False
    """Whether convolutions and matrix products compute in bfloat16."""

    def __init__(self, architecture: Architecture, settings: BuildSettings) -> None:
        super().__init__()
        self.head: Head = architecture.head
        self.memory_format = memory_format(architecture, settings.recipe.arithmetic)
        self.layers = _sequence(architecture.nodes, settings.recipe.batch_norm)
        mean, std = (torch.tensor(v, dtype=torch.float64).view(1, -1, 1, 1) for v in (settings.mean, settings.std))
        # (pixel / 255 − mean) / std as one product and one sum.
        self.register_buffer("scale", 1.0 / (255.0 * std))
        self.register_buffer("shift", -mean / std)

    def forward(self, image: Tensor) -> Tensor:
        pixels = image.permute(0, 3, 1, 2) if self.memory_format is torch.channels_last else _plain(image)
        values = pixels.to(self.scale.dtype) * self.scale + self.shift
        if not self.reduced:
            return self.layers(values)
        with torch.autocast(image.device.type, torch.bfloat16):
            logits = self.layers(values)
        return logits.to(self.scale.dtype)

    def give_masks(self, masks: dict[str, Tensor]) -> None:
        """Sets the dropout masks of the next forward pass in training mode, by dropout path."""
        for path, module in self.layers.named_modules():
            if isinstance(module, MaskedDropout):
                module.mask = masks[path]


class Classifier(nn.Module):
    """The contract of every artefact: `image` uint8 NHWC → `probabilities` float32 [n, classes]."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        logits = self.network(image)
        if self.network.head == "normalized_sigmoid":
            # log σ(z), written out: ONNX has no LogSigmoid, and the log(sigmoid(z)) that torch exports in its place
            # underflows where z is far below zero.
            return functional.softmax(logits.clamp(max=0) - torch.log1p(torch.exp(-logits.abs())), dim=1)
        return functional.softmax(head_scores(self.network.head, logits), dim=1)


def build_network(architecture: Architecture, settings: BuildSettings) -> Network:
    """Compiles a network with torch's own initial weights, drawn from `settings.seed`."""
    torch.set_num_threads(settings.threads)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.manual_seed(settings.seed)
    network = Network(architecture, settings)
    return network.to(settings.device, getattr(torch, settings.dtype), memory_format=network.memory_format)


def memory_format(architecture: Architecture, arithmetic: Origin) -> torch.memory_format:
    """torch's default, plain NCHW; where arithmetic is shared channels last, as the images come.

    But for networks with batch norm: in channels last torch 2.13 sums a channel's float32 values one after the other;
    over 64 images of 150×150 the normalised values are off by 5e-3, against 5e-7 in plain memory.
    """
    normed = any(isinstance(node.layer, BatchNorm) for _, node in architecture.walk())
    return torch.channels_last if arithmetic == "shared" and not normed else torch.contiguous_format


def _plain(image: Tensor) -> Tensor:
    # Permuted, a single channel would keep strides that torch takes for channels last.
    return image.squeeze(3).unsqueeze(1) if image.shape[3] == 1 else image.permute(0, 3, 1, 2).contiguous()


def _sequence(nodes: Sequence[Node], batch_norm: BatchNormSpec) -> nn.Sequential:
    # A path's last part names the module, so the canonical path is also torch's.
    return nn.Sequential(OrderedDict((node.path.rsplit(".", 1)[-1], _module(node, batch_norm)) for node in nodes))


def _module(node: Node, batch_norm: BatchNormSpec) -> nn.Module:
    channels = node.input_shape[-1]
    match node.layer:
        case Conv(filters, kernel, stride, padding, bias):
            return nn.Conv2d(channels, filters, kernel, stride, padding, bias=bias)
        case Dense(units, bias):
            return nn.Linear(channels, units, bias=bias)
        case BatchNorm():
            kind = nn.BatchNorm2d if len(node.input_shape) == 3 else nn.BatchNorm1d
            return kind(channels, **_batch_norm_options(batch_norm))
        case Activation(kind):
            return ACTIVATIONS[kind]()
        case Pool("max", size, stride, padding):
            return nn.MaxPool2d(size, stride, padding)
        case Pool(_, size, stride, padding):
            return nn.AvgPool2d(size, stride, padding)
        case Dropout(rate):
            return MaskedDropout(rate)
        case Flatten():
            return FlattenHwc()
        case GlobalPool():
            return GlobalAverage()
        case Residual():
            return ResidualBlock(_sequence(node.body, batch_norm), _sequence(node.shortcut, batch_norm))


def _batch_norm_options(spec: BatchNormSpec) -> dict[str, float]:
    # torch's momentum is the share of the new batch.
    given = {"momentum": None if spec.momentum is None else 1.0 - spec.momentum, "eps": spec.epsilon}
    return {key: value for key, value in given.items() if value is not None}
