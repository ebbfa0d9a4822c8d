"""Why a row is uncertain: which of its values the model has rarely or never met in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from yuragi.report.subject import Flags, Floats, Integers, levels, numbers
from yuragi.tables.columns import Column
from yuragi.tables.schema import Schema

TAIL = 2
"""Percent of the training values beyond which a number counts as in a sparse tail."""
RARE = 0.01
"""Share of the training rows below which a level counts as rare."""
SELDOM = 0.1
"""Share of the training rows below which a missing value counts as unusual."""

Kind = Literal["above", "below", "high", "low", "unseen", "rare", "never missing", "missing"]


@dataclass(frozen=True)
class Reason:
    """A value that is far from the training data.

    Attributes:
        column: the column.
        kind: how it is far: beyond the training range, in its highest or lowest 2 percent, a level never or rarely seen, or
            missing where none or hardly any was.
        value: the number or date (POSIX seconds), or the level; None where it is missing.
        reference: the nearest value of the training table, or how many training rows have that level or are missing.
        distance: by which reasons are ranked, in widths of the training range, or of that order.
    """

    column: Column
    kind: Kind
    value: float | str | None
    reference: float
    distance: float


def reasons(schema: Schema, frame: pd.DataFrame, rows: Integers) -> list[list[Reason]]:
    """For each of some rows, what in it is far from the training data, the farthest first; empty where nothing is."""
    part = frame.iloc[rows]
    found: list[list[Reason]] = [[] for _ in rows]
    for column in schema.columns:
        for position, reason in _of_column(column, part, schema.rows):
            found[position].append(reason)
    return [sorted(one, key=lambda reason: -reason.distance) for one in found]


@dataclass(frozen=True, eq=False)
class NeverMet:
    """Which rows have a value in a column that the model has never met, bool [N]; `kind` and `reference` as of a `Reason`."""

    column: Column
    kind: Kind
    reference: float
    rows: Flags


def never_met(schema: Schema, frame: pd.DataFrame) -> list[NeverMet]:
    """The columns in which some rows are beyond the training range, of an unseen level, or missing where none was."""
    found = [one for column in schema.columns for one in _never_met(column, frame)]
    return [one for one in found if one.rows.any()]


def _never_met(column: Column, frame: pd.DataFrame) -> list[NeverMet]:
    if column.levels:
        names = levels(frame, column)
        missing = np.array([name is None for name in names], dtype=bool)
        unseen = np.array([name is not None and name not in column.levels for name in names], dtype=bool)
        found = [NeverMet(column, "unseen", 0, unseen)]
    else:
        values, (low, high) = numbers(frame, column), (column.quantiles[0], column.quantiles[-1])
        missing = np.isnan(values)
        found = [NeverMet(column, "above", high, values > high), NeverMet(column, "below", low, values < low)]
    return found if column.missing else [*found, NeverMet(column, "never missing", 0, missing)]


def _of_column(column: Column, frame: pd.DataFrame, trained: int) -> list[tuple[int, Reason]]:
    if column.levels:
        found = [_level(column, name, trained) for name in levels(frame, column)]
    else:
        quantiles = np.array(column.quantiles)
        found = [_number(column, value, quantiles, trained) for value in numbers(frame, column).tolist()]
    return [(position, reason) for position, reason in enumerate(found) if reason is not None]


def _number(column: Column, value: float, quantiles: Floats, trained: int) -> Reason | None:
    if np.isnan(value):
        return _missing(column, trained)
    low, high = float(quantiles[0]), float(quantiles[-1])
    width = (high - low) or max(abs(high), 1.0)
    if value > high:
        return Reason(column, "above", value, high, 1 + (value - high) / width)
    if value < low:
        return Reason(column, "below", value, low, 1 + (low - value) / width)
    # percentiles at or below the value, and at or above it: ties, as the many zeros of a count, are no tail
    if np.searchsorted(quantiles, value, side="right") <= TAIL:
        return Reason(column, "low", value, float(quantiles[TAIL]), _depth(value, quantiles))
    if len(quantiles) - np.searchsorted(quantiles, value, side="left") <= TAIL:
        return Reason(column, "high", value, float(quantiles[-1 - TAIL]), _depth(value, quantiles))
    return None


def _depth(value: float, quantiles: Floats) -> float:
    # how far from the middle half of the training values, in [0, 1]: a long tail is farther than a short one
    low, high = quantiles[len(quantiles) // 4], quantiles[-1 - len(quantiles) // 4]
    return float(max(value - high, low - value, 0.0) / ((quantiles[-1] - quantiles[0]) or 1.0))


def _level(column: Column, name: str | None, trained: int) -> Reason | None:
    if name is None:
        return _missing(column, trained)
    count = column.levels.get(name, 0)
    if not count:
        return Reason(column, "unseen", name, 0, 1.5)
    if count < RARE * trained:
        return Reason(column, "rare", name, count, 1 - count / trained)
    return None


def _missing(column: Column, trained: int) -> Reason | None:
    if not column.missing:
        return Reason(column, "never missing", None, 0, 1.25)
    if column.missing < SELDOM * trained:
        return Reason(column, "missing", None, column.missing, 1 - column.missing / trained)
    return None


def most_uncertain(uncertainty: Floats, most: int) -> Integers:
    """The rows of largest uncertainty, the largest first; of equal ones the earlier first."""
    order: Integers = np.argsort(-uncertainty, kind="stable")[:most]
    return order
