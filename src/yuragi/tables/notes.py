"""What is unusual about a column of a later table, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from yuragi.tables import cells, dates
from yuragi.tables.cells import Floats
from yuragi.tables.columns import Column
from yuragi.tables.errors import counted, shown


def unusual(column: Column, values: Floats, written: pd.Series[Any]) -> list[str]:
    """Sentences about a column: missing and infinite values, unseen levels, and values outside the training range.

    Args:
        column: of the training table.
        values: of the later table, as `columns.read` gives them.
        written: the same, as they are in that table.
    """
    notes = []
    gone = values == len(column.levels) if column.kind == "category" else cells.missing(written)
    if gone.any() and not column.missing:
        notes.append(f"{counted(int(gone.sum()), 'missing value')}, and the training table had none")
    if np.isinf(values).any():
        notes.append(f"{counted(int(np.isinf(values).sum()), 'infinite number')}, taken as missing")
    unseen = values == -1 if column.kind == "category" else np.isnan(values) & ~gone & (column.kind == "boolean")
    if unseen.any():
        row = int(unseen.argmax())
        notes.append(
            f"{counted(int(unseen.sum()), 'value')} that the training table had not, the first in row {row + 1}: "
            f"{shown(written.iloc[row])}"
        )
    if column.quantiles:
        low, high = column.quantiles[0], column.quantiles[-1]
        outside = np.isfinite(values) & ((values < low) | (values > high))
        if outside.any():
            row = int(outside.argmax())
            show = dates.written if column.kind == "date" else "{:g}".format
            notes.append(
                f"{counted(int(outside.sum()), 'value')} outside the training range {show(low)} to {show(high)}, "
                f"the first in row {row + 1}: {show(values[row])}"
            )
    return notes
