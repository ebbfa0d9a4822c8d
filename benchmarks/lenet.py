"""What the benchmarks on MNIST share: its files, and LeNet-5.

The data are the four files of Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits", which many
mirrors hold: train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import torch
from torch import Tensor, nn


def read_idx(path: Path) -> Tensor:
    """A gzipped idx file of bytes: four bytes of magic number, the last of them the rank; the sizes; the data."""
    data = gzip.decompress(path.read_bytes())
    rank = data[3]
    shape = [int.from_bytes(data[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(rank)]
    return torch.frombuffer(bytearray(data), dtype=torch.uint8, offset=4 + 4 * rank).reshape(shape)


def read_mnist(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """Images [N, 1, 28, 28] in 0…1 and labels [N] of "train" or "t10k"."""
    images = read_idx(folder / f"{split}-images-idx3-ubyte.gz").unsqueeze(1).float() / 255
    return images, read_idx(folder / f"{split}-labels-idx1-ubyte.gz").long()


def standardised(images: Tensor) -> Tensor:
    """Images in 0…1 with the mean and standard deviation of the training pixels taken out."""
    return (images - 0.1307) / 0.3081


def lenet() -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998) with ReLU and max pooling: images [N, 1, 28, 28] to logits [N, 10]; 61,706 weights."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )
