"""What the report needs of a fitted model of a table, and how it reads the columns of a table.

Of `model.about` (JSON) the report reads these entries; each may be missing, and all others are shown as they are, by name:

| entry | holds |
|---|---|
| `"training_curve"` | {"loss": one number a pass, "validation": [[pass, mean held-out log-likelihood in nats], …]} |
| `"scores"` | of rows held out by the fit: {"rows": count, "model": {score: number}, a baseline: {score: number}, …} |
| `"data"` | {"sha256": of the training table, …} |
| `"versions"` | {package: version} |
| `"seed"`, `"seconds"`, `"rows"`, `"settings"`, … | a number, a text, a list, or a mapping of such |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd

from yuragi.predictions import ClassificationPrediction, NumericPrediction
from yuragi.tables import cells, columns, numerals
from yuragi.tables.columns import Column
from yuragi.tables.errors import TableError
from yuragi.tables.schema import Schema
from yuragi.tabular import TabularModel

DRAWS = 100
Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

UNKNOWN, UNSEEN = -1, -2
"""In the place of a class: the table does not say, or it is none of the model's."""


class Model(Protocol):
    """A fitted model of a table: all that a report is written from."""

    @property
    def schema(self) -> Schema: ...  # noqa: D102
    @property
    def tabular(self) -> TabularModel: ...  # noqa: D102
    @property
    def about(self) -> Mapping[str, Any]: ...  # noqa: D102

    def predict(  # noqa: D102
        self, frame: pd.DataFrame, samples: int = ..., seed: int = ...
    ) -> NumericPrediction | ClassificationPrediction: ...


def numbers(frame: pd.DataFrame, column: Column) -> Floats:
    """A column of numbers, or of dates as POSIX seconds: float64 [N], NaN where there is no finite value.

    Raises:
        TableError: a value is of another kind than in the training table.
    """
    found = columns.read(column, frame[column.name])
    return np.where(np.isfinite(found), found, np.nan)


def levels(frame: pd.DataFrame, column: Column) -> list[str | None]:
    """A column of categories or truth values as the names of its levels, None where the value is missing; N of them."""
    written = cells.texts(frame[column.name])
    if column.kind != "boolean":
        return written
    spelt = {float(cells.TRUTH[numerals.plain(level).lower()]): level for level in column.levels}
    said = cells.truths(frame[column.name]).tolist()
    return [text if text is None else spelt.get(truth, text) for text, truth in zip(written, said, strict=True)]


def true_numbers(schema: Schema, frame: pd.DataFrame) -> Floats:
    """The target of a regression, float64 [N]; NaN where the table does not say.

    Raises:
        TableError: a value is no number.
    """
    if schema.target.name not in frame.columns:
        return np.full(len(frame), np.nan)
    return numbers(frame, schema.target)


def true_classes(schema: Schema, frame: pd.DataFrame) -> Integers:
    """The position in `schema.classes` of the target of each row, int64 [N]; `UNKNOWN` or `UNSEEN` where it has none."""
    name = schema.target.name
    found = np.full(len(frame), UNKNOWN)
    if name not in frame.columns:
        return found
    known = ~cells.missing(frame[name])
    if not known.any():
        return found
    try:
        found[known] = schema.targets(frame[known])
    except TableError:  # some are none of the model's classes: each by itself, then
        place = {level: position for position, level in enumerate(schema.classes)}
        found[known] = [place.get(text or "", UNSEEN) for text in cells.texts(frame[name][known])]
    return found


def sampled(rows: int, most: int, seed: int) -> Integers:
    """Which rows to show: all, or `most` of them at random, in order."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
