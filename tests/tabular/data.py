"""Problems whose answers are known, and a network that learns them in few steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from yuragi.prediction import NumericPrediction
from yuragi.tabular import TabularModel

Array = npt.NDArray[Any]


class Quick(nn.Module):
    """A linear network whose weights are four times as large as they look and begin at zero: few steps take them far."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        nn.init.zeros_(self.linear.weight)

    def forward(self, x: Tensor) -> Tensor:
        larger: Tensor = 4 * self.linear(x)
        return larger


class Small(nn.Module):
    """A network with one hidden layer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, outputs))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layers(x)
        return output


def line(rows: int = 200, noise: float = 0.5, outputs: int | None = None) -> tuple[Array, Array]:
    """y = 3 a − 2 b + 7 + noise, with several outputs each times its number, from 1 on."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 2))
    clean = 3 * x[:, 0] - 2 * x[:, 1] + 7
    if outputs is None:
        return x, clean + noise * rng.normal(size=rows)
    return x, clean[:, None] * np.arange(1, outputs + 1) + noise * rng.normal(size=(rows, outputs))


def heaps(classes: int = 3, rows: int = 40) -> tuple[Array, Array]:
    """Well separated heaps of points on a circle, and labels of text."""
    rng = np.random.default_rng(1)
    label = np.arange(classes).repeat(rows)
    angle = 2 * np.pi * label / classes
    x = 10 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.3 * rng.normal(size=(len(label), 2))
    return x, np.array([f"heap {c}" for c in range(classes)])[label]


def numeric(model: TabularModel, x: Any, **settings: Any) -> NumericPrediction:
    prediction = model.predict(x, **settings)
    assert isinstance(prediction, NumericPrediction)
    return prediction


def global_state() -> tuple[Any, Any]:
    """The random states of NumPy and torch, comparable."""
    return tuple(map(str, np.random.get_state(legacy=True))), tuple(torch.get_rng_state().tolist())  # noqa: NPY002
