"""The rows of a table of numbers, in an order of their own, and the units that standardise them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]

CONSTANT_SCALE = 0.01
"""Scale of a target that is constant, relative to it: the data do not tell."""
_MOST_REPEATED = 10  # times as many rows as were given
_ROUNDING = 1e-12  # a column that differs by no more, relative to its size, is constant


@dataclass(frozen=True)
class Units:
    """Locations and scales, float64: of the targets [outputs], and of the inputs [D]."""

    loc: Tensor
    scale: Tensor
    x_loc: Tensor
    x_scale: Tensor


@dataclass(frozen=True)
class Rows:
    """Inputs [N, D] and targets, checked: [N, outputs] in float64, or [N] labels, int64; weights [N], or None.

    The order is one of the rows' own, by value, so that nothing depends on how they came. Rows of weight 0 are gone, and
    those of whole weights are repeated, so that a row of weight 2 is no other than the row twice.
    """

    x: Array
    y: Array
    weight: Array | None

    @classmethod
    def of(cls, x: Any, y: Any, task: str, sample_weight: Any = None) -> Rows:
        """Check and arrange them.

        Raises:
            ValueError: a shape is wrong, a value is NaN or infinite, a weight is negative or all are 0, or labels are no
                integers from 0 on.

        Example:
            >>> rows = Rows.of([[2.0], [1.0], [5.0]], [3.0, 4.0, 0.0], "regression", sample_weight=[2, 1, 0])
            >>> rows.x.T, rows.y.T, rows.weight
            (array([[2., 2., 1.]]), array([[3., 3., 4.]]), None)
        """
        inputs, targets = as_inputs(x), _targets(y, task)
        if len(inputs) != len(targets):
            raise ValueError(f"x has {len(inputs)} rows, but y has {len(targets)}")
        index, weight = _counted(sample_weight, len(inputs))
        if index is not None:
            inputs, targets = inputs[index], targets[index]
        order = _order([inputs, targets] if weight is None else [inputs, targets, weight])
        return cls(inputs[order], targets[order], None if weight is None else weight[order])

    def __len__(self) -> int:
        """N."""
        return len(self.y)

    @property
    def varied(self) -> int:
        """Of the outputs that are not constant, how many targets differ from the most frequent one, at least; else 0."""
        columns = self.y.reshape(len(self.y), -1).T
        differ = [len(self.y) - int(np.unique(column, return_counts=True)[1].max()) for column in columns]
        constant = _constant(columns.T)
        return min((count for count, same in zip(differ, constant, strict=True) if not same), default=0)

    def classes(self, classes: int | None) -> int:
        """How many classes there are, where the labels go with it.

        Raises:
            ValueError: a label is too large, or there are fewer than 2.
        """
        found = int(self.y.max()) + 1
        if classes is not None and found > classes:
            raise ValueError(f"the labels go up to {found - 1}, but there are {classes} classes, from 0 on")
        classes = found if classes is None else classes
        if classes < 2:
            raise ValueError(
                "all labels are of one class: there is nothing to tell apart; give data of 2 classes at least"
            )
        return classes

    def units(self, common: bool = False) -> Units:
        """Means and standard deviations by the weights; of a constant input 1, of a constant target a hundredth of its size.

        Args:
            common: whether all outputs have one scale, the root mean square of their own.
        """
        x_loc, x_scale = self._moments("x", self.x)
        loc, spread = self._moments("y", self.y.reshape(len(self.y), -1).astype(np.float64))
        size = np.abs(loc)
        if common:
            spread[:], size[:] = np.sqrt(np.mean(spread**2)), size.max()
        scale = np.where(spread > 0, spread, CONSTANT_SCALE * np.where(size > 0, size, 1.0))
        parts = (loc, scale, x_loc, np.where(x_scale > 0, x_scale, 1.0))
        return Units(*(torch.from_numpy(part) for part in parts))

    def targets(self, units: Units) -> Tensor:
        """Standardised, float64 [N, outputs]; labels as they are."""
        if self.y.ndim == 1:
            return torch.from_numpy(self.y)
        return standardised(self.y, units.loc, units.scale)

    def _moments(self, name: str, values: Array) -> tuple[Array, Array]:
        with np.errstate(over="ignore", invalid="ignore"):
            loc = np.average(values, 0, self.weight)
            spread = np.sqrt(np.average((values - loc) ** 2, 0, self.weight))
        if not np.isfinite(spread).all():
            column = int(np.argmin(np.isfinite(spread)))
            raise ValueError(f"column {column} of {name} has values too large to be squared: give it in another unit")
        spread[_constant(values)] = 0.0
        return loc, spread


def as_inputs(x: Any) -> Array:
    """Inputs as float64 [N, D].

    Raises:
        ValueError: not [N, D] with a row and a column at least, or a value is NaN or infinite.
    """
    inputs = np.asarray(x.detach().cpu() if isinstance(x, Tensor) else x, dtype=np.float64)
    if inputs.ndim != 2 or not inputs.size:
        raise ValueError(f"x must be [N, D] with at least one row and one column, got shape {inputs.shape}")
    _check_finite("x", inputs)
    return inputs


def standardised(values: Array, loc: Tensor, scale: Tensor) -> Tensor:
    """(values − loc) / scale, float64 [N, D]."""
    return torch.from_numpy((values - loc.numpy()) / scale.numpy())


def _targets(y: Any, task: str) -> Array:
    targets = np.asarray(y.detach().cpu() if isinstance(y, Tensor) else y)
    if task == "classification":
        if targets.ndim != 1 or targets.dtype.kind not in "biu" or not len(targets):
            raise ValueError(f"labels must be integers [N], got {targets.dtype} of shape {targets.shape}")
        if targets.min() < 0:
            raise ValueError(f"labels must be 0, 1, …, got {targets.min()}")
        return targets.astype(np.int64)
    targets = targets.astype(np.float64)
    if targets.ndim not in (1, 2) or not targets.size:
        raise ValueError(f"y must be [N] or [N, outputs], got shape {targets.shape}")
    _check_finite("y", targets)
    return targets.reshape(len(targets), -1)


def _counted(sample_weight: Any, rows: int) -> tuple[Array | None, Array | None]:
    """Which rows to take, where not each once, and the weights that these have then, where not all 1."""
    if sample_weight is None:
        return None, None
    given = sample_weight.detach().cpu() if isinstance(sample_weight, Tensor) else sample_weight
    weight = np.asarray(given, dtype=np.float64)
    if weight.shape != (rows,):
        raise ValueError(f"sample_weight has shape {weight.shape}, but there are {rows} rows")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
        raise ValueError("sample_weight must be finite and not negative, and not zero for all rows")
    if weight.sum() <= _MOST_REPEATED * rows and bool((weight == np.round(weight)).all()):
        return np.repeat(np.arange(rows), weight.astype(np.int64)), None
    kept = np.flatnonzero(weight)
    return kept, weight[kept]


def _order(parts: list[Array]) -> Array:
    # by value, so that no change of unit changes it
    return np.lexsort(np.column_stack(parts).T)


def _constant(values: Array) -> Array:
    # not std == 0: that of a thousand times 0.1 is 1e-17
    constant: Array = np.ptp(values, 0) <= _ROUNDING * np.abs(values).max(0)
    return constant


def _check_finite(name: str, values: Array) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        first = np.argwhere(bad)[0].tolist()
        raise ValueError(f"{name} holds {int(bad.sum())} values that are NaN or infinite, the first at {first}")
