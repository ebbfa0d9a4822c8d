"""The networks whose speed is measured, their batches, and the rows of a prediction."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import yuragi as yu
from yuragi import demo


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.around: nn.Module = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        h = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(h)) + self.around(x))


class Recurrent(nn.Module):
    """An LSTM whose last state is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(32, 64, batch_first=True), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, time, 32] to [B, 10]."""
        states, _ = self.lstm(x)
        logits: Tensor = self.head(states[:, -1])
        return logits


def wide() -> nn.Module:
    """A perceptron of two million weights."""
    sizes = (512, 1024, 1024)
    hidden = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(1024, 10))


def resnet20() -> nn.Module:
    """He et al.'s residual network for images of 32 × 32."""
    blocks = [
        Block(inputs if first else outputs, outputs, 2 if first and inputs != outputs else 1)
        for inputs, outputs in ((16, 16), (16, 32), (32, 64))
        for first in (True, False, False)
    ]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


@dataclass(frozen=True)
class Case:
    """A network, its batch, and the rows of a prediction."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    rows: int

    def fresh(self) -> nn.Module:
        """The network, the same each time."""
        torch.manual_seed(0)
        return self.make()

    def batch(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a step."""
        x = torch.randn(self.shape, generator=torch.Generator().manual_seed(1))
        return x, x.sin() if self.shape[1] == 1 else torch.arange(len(x)) % 10

    def new_rows(self) -> Tensor:
        """Inputs of a prediction."""
        return torch.randn((self.rows, *self.shape[1:]), generator=torch.Generator().manual_seed(2))

    @property
    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """That of the deterministic network."""
        return F.mse_loss if self.shape[1] == 1 else F.cross_entropy

    @property
    def likelihood(self) -> yu.likelihoods.Likelihood:
        """That of the targets."""
        return yu.Gaussian(0.1) if self.shape[1] == 1 else yu.Categorical()


CASES = {
    "MLP 1-100-100-1, 64": Case(demo.network, (64, 1), 1000),
    "MLP 512-1024-1024-10, 256": Case(wide, (256, 512), 1000),
    "ResNet-20, 32": Case(resnet20, (32, 3, 32, 32), 64),
    "LSTM(32→64), 32×50": Case(Recurrent, (32, 50, 32), 64),
}
