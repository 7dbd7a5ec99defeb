"""fastai with a module of one's own: DataLoaders and a Learner."""

from collections.abc import Iterator

import numpy as np
import torch
from fastai.callback import progress as _progress  # noqa: F401  adds no_bar to Learner
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from torch import nn
from torch.utils.data import TensorDataset
from train_part import TrainPart


def build(shape: tuple[int, int, int], filters: tuple[int, ...], padding: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    size, channels = shape[0], shape[2]
    for number in filters:
        layers += [nn.Conv2d(channels, number, 3, padding=padding), nn.ReLU(), nn.MaxPool2d(2)]
        size, channels = (size + 2 * padding - 2) // 2, number
    layers += [nn.Flatten(), nn.Linear(size * size * channels, 128), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(128, classes))


def epochs(
    images: np.ndarray, labels: np.ndarray, filters: tuple[int, ...], padding: int, batch_size: int
) -> Iterator[float]:
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    dataset = TensorDataset(pixels, torch.from_numpy(labels))
    dls = DataLoaders.from_dsets(dataset, TensorDataset(*dataset[:1]), bs=batch_size, num_workers=0, device="cpu")
    learn = Learner(dls, build(images.shape[1:], filters, padding, 10), CrossEntropyLossFlat(), metrics=accuracy)
    part = TrainPart()
    while True:
        with learn.no_bar(), learn.no_logging():
            learn.fit(1, cbs=part)
        yield part.seconds
