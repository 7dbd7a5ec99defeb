"""The part of the framework interface that pytorch and fastai share: everything but how a training runs."""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import NotFoundError
from core.formats import get_format
from trainer.batches import Batch
from trainer.framework import BuildSettings, Inspection
from trainer.frameworks._torch_export import export_onnx, export_pt2
from trainer.frameworks._torch_network import Classifier, Network, build_network, memory_format
from trainer.frameworks._torch_training import HeadLoss
from trainer.frameworks._torch_weights import count_parameters, load_weights, read_gradients, read_weights
from trainer.layers import Architecture
from trainer.weights import Weights

EXPORTERS = {"pt2": export_pt2, "onnx": export_onnx}
PREDICT_BATCH = 256


@dataclass
class TorchModel:
    """A built network and what it was built from."""

    architecture: Architecture
    settings: BuildSettings
    network: Network
    classes: tuple[str, ...] = ()
    """Names, known once it was fitted."""


class TorchFramework:
    """Build, weights, predict, export and inspect; subclasses add `name`, `fit` and `extras`."""

    formats: tuple[str, ...] = ("pt2", "onnx")

    def has_cuda(self) -> bool:
        """Whether torch finds a GPU."""
        return torch.cuda.is_available()

    def build(self, architecture: Architecture, weights: Weights | None, settings: BuildSettings) -> TorchModel:
        """Compiles a network; `weights` None keeps torch's initialisers, as a Learner does with a given module."""
        network = build_network(architecture, settings)
        if weights is not None:
            load_weights(architecture, network, weights)
        return TorchModel(architecture, settings, network)

    def weights(self, model: TorchModel) -> Weights:
        """Canonical weights, BatchNorm statistics included, in the model's dtype."""
        return read_weights(model.architecture, model.network)

    def assign(self, model: TorchModel, weights: Weights) -> None:
        """Puts canonical weights in. Raises InvalidInputError when they belong to another architecture."""
        load_weights(model.architecture, model.network, weights)

    def predict(self, model: TorchModel, images: NDArray[np.uint8]) -> NDArray[np.floating]:
        """Probabilities [n, classes] in the model's dtype."""
        classifier = Classifier(model.network).eval()
        starts = range(0, len(images), PREDICT_BATCH)
        with torch.inference_mode():
            chunks = (torch.from_numpy(np.array(images[i : i + PREDICT_BATCH])) for i in starts)
            parts = [classifier(chunk.to(model.settings.device)).cpu().numpy() for chunk in chunks]
        empty = np.empty((0, model.architecture.classes), model.settings.dtype)
        return np.concatenate([empty, *parts])

    def export(self, model: TorchModel, format_name: str, directory: Path) -> None:
        """Writes the artefact in float32. Raises NotFoundError for a format torch does not write."""
        if format_name not in EXPORTERS:
            raise NotFoundError(f"torch does not export {format_name!r}; it exports {', '.join(EXPORTERS)}")
        # A copy: training may go on. Plain memory: torch.export.save warns of weights in any other layout.
        network = copy.deepcopy(model.network).to("cpu", torch.float32, memory_format=torch.contiguous_format)
        # One graph in both modes: how the images are laid out is part of it.
        network.memory_format = memory_format(model.architecture, "shared")
        classifier = Classifier(network).eval()
        EXPORTERS[format_name](classifier, model.architecture, directory / get_format(format_name).path)

    def inspect(self, model: TorchModel, batch: Batch) -> Inspection:
        """Logits, loss and gradients of one batch in training mode, on a copy of the model."""
        network = copy.deepcopy(model.network).train()
        network.zero_grad(set_to_none=True)
        device = model.settings.device
        network.give_masks({path: torch.from_numpy(mask).to(device) for path, mask in batch.masks.items()})
        logits = network(torch.from_numpy(batch.images).to(device))
        loss = HeadLoss(model.architecture.head)(logits, torch.from_numpy(batch.labels).to(device))
        loss.backward()
        parameters, trainable = count_parameters(network)
        gradients = read_gradients(model.architecture, network)
        return Inspection(logits.detach().cpu().numpy(), loss.item(), gradients, parameters, trainable)
