"""What the MNIST examples share: reading the idx files, rotating digits, LeNet-5 and its training.

The data are the four files of Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits", which many
mirrors hold: train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz.
"""

from __future__ import annotations

import argparse
import gzip
import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import yuragi as yu
from yuragi.bayesian import Penalty


def arguments(description: str, out: str) -> argparse.ArgumentParser:
    """The options of an MNIST example; `out` is where its figure goes unless told otherwise."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="directory of the four idx.gz files of MNIST")
    parser.add_argument("--out", type=Path, default=Path(out), help="the figure (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a few digits and one epoch: to see that it runs")
    return parser


def read_idx(path: Path) -> Tensor:
    """A gzipped idx file of bytes as a uint8 tensor.

    Layout: two zero bytes, the type (8 is unsigned byte), the number of axes, each axis as a big-endian int32, the data.

    Raises:
        ValueError: the file is not an idx file of bytes, or shorter than it says.
    """
    content = gzip.decompress(path.read_bytes())
    if content[:3] != b"\0\0\x08":
        raise ValueError(f"{path} is not an idx file of unsigned bytes: it begins with {content[:4].hex()}")
    axes = content[3]
    shape = [int.from_bytes(content[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(axes)]
    data = bytearray(content[4 + 4 * axes :])
    if len(data) != math.prod(shape):
        raise ValueError(f"{path} should hold {shape} bytes, but there are {len(data)}")
    return torch.frombuffer(data, dtype=torch.uint8).reshape(shape)


def load(directory: Path, part: str, limit: int | None = None) -> tuple[Tensor, Tensor]:
    """The digits of one part, "train" or "t10k": images [N, 1, 28, 28] in 0…1 and labels [N]."""
    images = read_idx(directory / f"{part}-images-idx3-ubyte.gz")[:limit]
    labels = read_idx(directory / f"{part}-labels-idx1-ubyte.gz")[:limit]
    return images.unsqueeze(1).float() / 255, labels.long()


def rotate(images: Tensor, degrees: float) -> Tensor:
    """Images [N, 1, H, W] turned anticlockwise about their centre, by bilinear interpolation; black comes in."""
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]])
    grid = F.affine_grid(turn.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def lenet5() -> nn.Sequential:
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


def bayesian_lenet5(seed: int) -> yu.Bayesian:
    """LeNet-5 with a mean-field posterior over every weight."""
    torch.manual_seed(seed)
    posterior = yu.posteriors.MeanField(init_scale=0.02)
    return yu.bayesianize(lenet5(), likelihood=yu.Categorical(), posterior=posterior, seed=seed)


def train(bnn: yu.Bayesian, x: Tensor, y: Tensor, epochs: int, seed: int, penalty: Penalty | None = None) -> None:
    """Fit to the digits; the KL counts a tenth, since at its full weight this network learns little from few epochs."""
    yu.fit(bnn, (x, y), epochs=epochs, lr=5e-3, kl_weight=0.1, seed=seed, penalty=penalty)


def auroc(low: Tensor, high: Tensor) -> float:
    """Probability that a value of `high` exceeds one of `low`, ties counting half (Mann and Whitney 1947)."""
    order = low.sort().values
    below = torch.searchsorted(order, high) + torch.searchsorted(order, high, right=True)
    return float(below.double().mean() / (2 * len(low)))
