"""What is unusual about a column of a later table, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from yuragi.tables import cells, dates
from yuragi.tables.cells import Floats
from yuragi.tables.columns import Column
from yuragi.tables.errors import counted, shown


@dataclass(frozen=True)
class Unusual:
    """Values of a column that are unusual in the same way, in a table or in a part of one.

    Args:
        column: its name.
        what: what each is, in the singular.
        how: what is unusual about them.
        count: how many there are.
        first: the row of the first one, from 0 on, and what stands there; None where that says nothing.
    """

    column: str
    what: str
    how: str
    count: int
    first: tuple[int, str] | None = None

    def sentence(self) -> str:
        """What a person is told."""
        where = "" if self.first is None else f", the first in row {self.first[0] + 1:}: {self.first[1]}"
        return f"column {shown(self.column)}: {counted(self.count, self.what)}{self.how}{where}"


def unusual(column: Column, values: Floats, written: pd.Series[Any]) -> list[Unusual]:
    """Missing and infinite values, unseen levels, and values outside the training range.

    Args:
        column: of the training table.
        values: of the later table, as `columns.read` gives them.
        written: the same, as they are in that table.
    """
    notes = []

    def note(which: np.ndarray[Any, Any], what: str, how: str, show: Callable[[int], str] | None = None) -> None:
        if which.any():
            row = int(which.argmax())
            first = None if show is None else (row, show(row))
            notes.append(Unusual(column.name, what, how, int(which.sum()), first))

    gone = values == len(column.levels) if column.kind == "category" else cells.missing(written)
    if not column.missing:
        note(gone, "missing value", ", and the training table had none")
    note(np.isinf(values), "infinite number", ", taken as missing")
    unseen = values == -1 if column.kind == "category" else np.isnan(values) & ~gone & (column.kind == "boolean")
    note(unseen, "value", " that the training table had not", lambda row: shown(written.iloc[row]))
    if column.quantiles:
        low, high = column.quantiles[0], column.quantiles[-1]
        show: Callable[[float], str] = dates.written if column.kind == "date" else "{:g}".format
        outside = np.isfinite(values) & ((values < low) | (values > high))
        note(
            outside,
            "value",
            f" outside the training range {show(low)} to {show(high)}",
            lambda row: show(float(values[row])),
        )
    return notes


def together(parts: Sequence[Unusual], further: Sequence[Unusual], rows: int) -> list[Unusual]:
    """What is unusual in the first `rows` rows of a table and in those that follow, by column and by what it is."""
    found = {(one.column, one.what, one.how): one for one in parts}
    for one in further:
        key = (one.column, one.what, one.how)
        if key in found:
            found[key] = replace(found[key], count=found[key].count + one.count)
        else:
            found[key] = one if one.first is None else replace(one, first=(rows + one.first[0], one.first[1]))
    return list(found.values())
