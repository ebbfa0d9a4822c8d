"""What the report needs of a fitted model of a table, and how it reads the columns of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from yuragi.bayesian import Bayesian
from yuragi.predictions import ClassificationPrediction, NumericPrediction
from yuragi.training import History

DRAWS = 100
Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


class Column(Protocol):
    """A column of the training table: its kind, its percentiles or its levels with their counts."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def missing(self) -> int: ...  # noqa: D102
    @property
    def quantiles(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def levels(self) -> Mapping[str, int]: ...  # noqa: D102


class LeftOut(Protocol):
    """A column that the model does not read, and why."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102


class Schema(Protocol):
    """What the model file keeps of its training table."""

    @property
    def columns(self) -> Sequence[Column]: ...  # noqa: D102
    @property
    def left_out(self) -> Sequence[LeftOut]: ...  # noqa: D102
    @property
    def target(self) -> Column: ...  # noqa: D102
    @property
    def task(self) -> str: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def rows(self) -> int: ...  # noqa: D102

    def notes(self, frame: pd.DataFrame) -> list[str]: ...  # noqa: D102


class Tabular(Protocol):
    """The fitted network, and the history of its fit where this process made it."""

    @property
    def bnn(self) -> Bayesian: ...  # noqa: D102
    @property
    def history(self) -> History | None: ...  # noqa: D102


class Model(Protocol):
    """A fitted model of a table: all that a report is written from."""

    @property
    def schema(self) -> Schema: ...  # noqa: D102
    @property
    def tabular(self) -> Tabular: ...  # noqa: D102
    @property
    def about(self) -> Mapping[str, Any]: ...  # noqa: D102

    def predict(  # noqa: D102
        self, frame: pd.DataFrame, samples: int = ..., seed: int = ...
    ) -> NumericPrediction | ClassificationPrediction: ...


def values(frame: pd.DataFrame, column: Column) -> Floats:
    """A number column, or a date column as POSIX seconds: float64 [N], NaN where there is no such value."""
    if column.name not in frame.columns:
        return np.full(len(frame), np.nan)
    raw = frame[column.name]
    if column.kind == "date":
        dates = pd.to_datetime(raw, errors="coerce", utc=True)
        seconds = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
        return seconds.to_numpy(dtype=np.float64)
    return pd.to_numeric(raw, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def texts(frame: pd.DataFrame, column: Column) -> np.ndarray[Any, np.dtype[np.object_]]:
    """A column of categories or booleans as the names of its levels: object [N], None where it is missing."""
    found = np.full(len(frame), None, dtype=object)
    if column.name in frame.columns:
        raw = frame[column.name]
        known = raw.notna().to_numpy()
        found[known] = [str(value) for value in raw[known]]
    return found


def sampled(rows: int, most: int, seed: int) -> Integers:
    """Which rows to show: all, or `most` of them at random, in order."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
