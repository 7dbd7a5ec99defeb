"""PyTorch's quickstart: a Dataset, a DataLoader, a loop."""

from collections.abc import Iterator
from time import perf_counter

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


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
    model = build(images.shape[1:], filters, padding, 10)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    loader = DataLoader(TensorDataset(pixels, torch.from_numpy(labels)), batch_size=batch_size, shuffle=True)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters())
    while True:
        start = perf_counter()
        model.train()
        for inputs, targets in loader:
            loss = loss_fn(model(inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        yield perf_counter() - start
