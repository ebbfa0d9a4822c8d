"""Matplotlib pictures of a `NumericPrediction`; every function takes and returns `ax`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from yuragi.predictions import NumericPrediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which stay apart for colour-blind readers
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#555555"


def band(prediction: NumericPrediction, x: Tensor, ax: Axes, label: str = "mean") -> Axes:
    """Draw the mean and two bands of ± 2 standard deviations against one input: total, and epistemic alone.

    Args:
        prediction: of one output for N inputs.
        x: the inputs, [N] or [N, 1].
        ax: where to draw.
        label: the mean's name in the legend.

    Returns:
        `ax`.

    Raises:
        ValueError: the prediction has more than one output, or another number of rows than `x`.
    """
    at, order = _sorted(prediction, x)
    mean, std, epistemic = (_line(part, order) for part in (prediction.mean, prediction.std, prediction.epistemic))
    ax.fill_between(at, mean - 2 * std, mean + 2 * std, color=_BLUE, alpha=0.15, lw=0, label="± 2 std")
    ax.fill_between(at, mean - 2 * epistemic, mean + 2 * epistemic, color=_BLUE, alpha=0.3, lw=0, label="± 2 epistemic")
    ax.plot(at, mean, color=_BLUE, label=label)
    return _finished(ax, "y")


def spread(prediction: NumericPrediction, x: Tensor, ax: Axes) -> Axes:
    """Draw the total and the epistemic standard deviation against one input; arguments as for `band`."""
    at, order = _sorted(prediction, x)
    ax.plot(at, _line(prediction.std, order), color=_BLUE, label="std")
    ax.plot(at, _line(prediction.epistemic, order), color=_ORANGE, ls="--", label="epistemic")
    ax.set_ylim(bottom=0)
    return _finished(ax, "std")


def points(x: Tensor, y: Tensor, ax: Axes, label: str = "data") -> Axes:
    """Draw data [N] or [N, 1] as small dots."""
    ax.plot(_array(x).ravel(), _array(y).ravel(), ".", color=_GREY, ms=3, alpha=0.6, label=label)
    return _finished(ax, "y")


def _finished(ax: Axes, ylabel: str) -> Axes:
    ax.set_xlabel("x")
    ax.set_ylabel(ylabel)
    ax.grid(alpha=0.25)
    ax.legend(fontsize="small", framealpha=0.8)
    return ax


def _sorted(prediction: NumericPrediction, x: Tensor) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rows, outputs = prediction.num_rows, prediction.mean[0].numel()
    if outputs != 1 or x.numel() != rows:
        raise ValueError(f"a picture needs one input and one output: x has shape {tuple(x.shape)}, y {outputs} outputs")
    at = _array(x).ravel()
    order = np.argsort(at)
    return at[order], order


def _line(part: Tensor, order: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    ordered: np.ndarray[Any, Any] = _array(part).ravel()[order]
    return ordered


def _array(part: Tensor) -> np.ndarray[Any, Any]:
    return part.detach().cpu().numpy()
