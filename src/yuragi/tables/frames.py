"""Whole tables: any kind of them as a DataFrame, and its columns as features and as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from yuragi.tables import cells, columns
from yuragi.tables.columns import Column, LeftOut
from yuragi.tables.errors import TableError, counted, listed, shown


def as_frame(table: Any) -> pd.DataFrame:
    """A table as a DataFrame of pandas whose column names are text: from pandas, polars, pyarrow, or an array [N, D].

    Raises:
        TableError: it is no table, or a name stands for several columns.
    """
    if not isinstance(table, pd.DataFrame):
        if hasattr(table, "to_pandas"):
            table = table.to_pandas()
        elif np.ndim(table) == 2:
            values = np.asarray(table)
            table = pd.DataFrame(values, columns=[f"x{place}" for place in range(values.shape[1])])
        if not isinstance(table, pd.DataFrame):
            raise TableError(f"expected a table (a DataFrame or an array [rows, columns]), got {type(table).__name__}")
    names = [str(name) for name in table.columns]
    repeated = pd.Index(names).duplicated()
    if repeated.any():
        raise TableError(f"column {shown(names[repeated.argmax()])} appears more than once: rename one of them")
    return table.set_axis(names, axis=1)


def features(frame: pd.DataFrame) -> tuple[tuple[Column, ...], tuple[LeftOut, ...]]:
    """Which columns of a training table are features, and which are not and why.

    A running number is an identifier only beside other features: where it is all that there is, it is used.

    Raises:
        TableError: no column is left to predict from.
    """
    if not len(frame):
        raise TableError("the table has no rows")
    found = [columns.find(name, frame[name]) for name in frame.columns]
    if not any(isinstance(one, Column) for one in found):
        found = [columns.find(name, frame[name], keep_running=True) for name in frame.columns]
    left_out = tuple(one for one in found if isinstance(one, LeftOut))
    kept = tuple(one for one in found if isinstance(one, Column))
    if not kept:
        why = "; ".join(f"{shown(one.name)} is left out ({one.reason})" for one in left_out[:10])
        raise TableError(f"the table has no column to predict from{': ' if why else ''}{why}")
    return kept, left_out


def read_features(frame: pd.DataFrame, wanted: Sequence[Column]) -> dict[str, cells.Floats]:
    """The wanted columns of a table, by name, each as `columns.read` does.

    Raises:
        TableError: columns are missing, or hold another kind of value than in the training table.
    """
    present = set(frame.columns)
    lost = [column.name for column in wanted if column.name not in present]
    if lost:
        raise TableError(
            f"{counted(len(lost), 'column')} of the training table {'is' if len(lost) == 1 else 'are'} missing: "
            f"{listed(lost, 50)}; the table has {listed(frame.columns)}"
        )
    return {column.name: columns.read(column, frame[column.name]) for column in wanted}
