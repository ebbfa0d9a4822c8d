"""How the prediction changes with one column: partial dependence with bands, and how much each column matters.

Partial dependence of f on a column is the mean of f over rows in which that column alone is set to a value (Friedman,
"Greedy function approximation: a gradient boosting machine", 2001). The draws are coherent: one draw uses the same weights
for every row and value, so its curve is a curve of one network, and the spread of these curves is what the model does not
know about the curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from yuragi.predictions import ClassificationPrediction, NumericPrediction
from yuragi.report.rows import array
from yuragi.report.subject import DRAWS, Floats, Model, levels, numbers, sampled
from yuragi.tables.columns import Column
from yuragi.tables.schema import Schema

ROWS = 50
"""Rows that a partial dependence is the mean over, at most."""
FEATURES = 12
"""Columns whose partial dependence is shown, at most: those that matter most."""
SCREENED = 60
"""Columns whose influence is measured, at most: those that predictions vary with most."""
LEVELS = 12
"""Levels of a category that are shown, at most: the most frequent."""
_AT = (0, 2, 5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95, 98, 100)  # percent of the training values
_BINS = 10


@dataclass(frozen=True, eq=False)
class Dependence:
    """Partial dependence on one column.

    Attributes:
        column: the column.
        at: its values: numbers, dates as POSIX seconds, or names of levels; G of them.
        mean: mean prediction at each, [G, outputs]: one output, or the classes' probabilities.
        epistemic: standard deviation of it across draws, [G, outputs].
        total: standard deviation of a new observation around it, √(epistemic² + mean aleatoric²), [G]; None for classes.
        levels_left_out: levels of the column that are not shown.
    """

    column: Column
    at: Sequence[float | str]
    mean: Floats
    epistemic: Floats
    total: Floats | None
    levels_left_out: int = 0


@dataclass(frozen=True)
class Influence:
    """How much predictions change when a column's values are shuffled among rows.

    Root mean square change of a number, or mean probability that moves from one class to others.
    """

    column: Column
    size: float


def influences(model: Model, frame: pd.DataFrame, seed: int) -> list[Influence]:
    """The influence of columns on the predictions, the largest first; of at most `SCREENED` columns."""
    base = frame.iloc[sampled(len(frame), 4 * ROWS, seed)].reset_index(drop=True)
    usual = _means(model, base, seed)
    columns = _screened(model.schema, base, usual)
    # of the same rows for every column, and no row keeps its own value: a shift by some rows of a random order
    order = np.random.default_rng(seed).permutation(len(base))
    partner = np.empty_like(order)
    partner[order] = np.roll(order, 1)
    found = []
    for column in columns:
        shuffled = base.copy()
        shuffled[column.name] = base[column.name].iloc[partner].set_axis(base.index)
        change = _means(model, shuffled, seed) - usual
        size = np.sqrt((change**2).mean()) if change.shape[1] == 1 else np.abs(change).sum(1).mean() / 2
        found.append(Influence(column, float(size)))
    return sorted(found, key=lambda one: -one.size)


def dependences(model: Model, frame: pd.DataFrame, columns: Sequence[Column], seed: int) -> list[Dependence]:
    """The partial dependence on each of some columns."""
    base = frame.iloc[sampled(len(frame), ROWS, seed)].reset_index(drop=True)
    return [_dependence(model, base, column, seed) for column in columns]


def _dependence(model: Model, base: pd.DataFrame, column: Column, seed: int) -> Dependence:
    at = _grid(column)
    table = base.iloc[np.tile(np.arange(len(base)), len(at))].reset_index(drop=True)
    cells = [pd.Timestamp(round(value), unit="s") for value in at] if column.kind == "date" else at
    table[column.name] = pd.Series(cells).repeat(len(base)).set_axis(table.index)
    prediction = model.predict(table, samples=DRAWS, seed=seed)
    grid = (len(at), len(base))
    left_out = max(0, len(column.levels) - len(at))
    if isinstance(prediction, ClassificationPrediction):
        curves = prediction.draw_probs.double().unflatten(1, grid).mean(2)  # [S, G, C]
        return Dependence(column, at, array(curves.mean(0)), array(curves.std(0, correction=0)), None, left_out)
    assert isinstance(prediction, NumericPrediction)
    curves = prediction.samples.double().unflatten(1, grid).mean(2)  # [S, G, 1]
    epistemic = curves.std(0, correction=0)
    noise = prediction.aleatoric.double().square().unflatten(0, grid).mean(1).sqrt()
    total = torch.hypot(epistemic, noise)[:, 0]
    return Dependence(column, at, array(curves.mean(0)), array(epistemic), array(total), left_out)


def _grid(column: Column) -> list[Any]:
    if column.levels:
        return list(column.levels)[:LEVELS]
    numbers: list[Any] = np.unique([column.quantiles[percent] for percent in _AT]).tolist()
    return numbers


def _means(model: Model, frame: pd.DataFrame, seed: int) -> Floats:
    prediction = model.predict(frame, samples=DRAWS, seed=seed)
    if isinstance(prediction, ClassificationPrediction):
        return array(prediction.probs)
    return array(prediction.mean)


def _screened(schema: Schema, frame: pd.DataFrame, predicted: Floats) -> list[Column]:
    """The columns that the predictions of some rows vary with most, by the correlation ratio of the first output."""
    columns = list(schema.columns)
    if len(columns) <= SCREENED:
        return columns
    ratio = {column.name: _correlation_ratio(_groups(frame, column), predicted[:, 0]) for column in columns}
    return sorted(columns, key=lambda column: -ratio[column.name])[:SCREENED]


def _groups(frame: pd.DataFrame, column: Column) -> np.ndarray[Any, Any]:
    if column.levels:
        groups: np.ndarray[Any, Any] = pd.factorize(pd.Series(levels(frame, column), dtype=object))[0]
        return groups
    values = numbers(frame, column)
    edges = np.unique(np.array(column.quantiles)[:: 100 // _BINS])
    return np.where(np.isnan(values), -1, np.searchsorted(edges, values))


def _correlation_ratio(group: np.ndarray[Any, Any], value: Floats) -> float:
    """η²: the share of the variance of `value` that lies between groups, less what as many groups have by chance."""
    _, index, count = np.unique(group, return_inverse=True, return_counts=True)
    means = np.bincount(index, value) / count
    between = (count * (means - value.mean()) ** 2).sum()
    whole = ((value - value.mean()) ** 2).sum()
    chance = (len(count) - 1) / max(1, len(value) - 1)
    return float(between / whole - chance) if whole else 0.0
