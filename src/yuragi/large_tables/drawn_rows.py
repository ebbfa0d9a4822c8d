"""Rows drawn at random by their numbers: whether one is drawn is known from the number alone, in any order of reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from yuragi.large_tables.sources import TableFiles, Told

Numbers = np.ndarray[Any, np.dtype[np.int64]]
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class DrawnRows:
    """A uniform draw of rows without replacement: those whose numbers are hashed to the smallest values.

    A draw of more rows by the same seed holds all of a draw of fewer.

    Args:
        seed: of the hash.
        bound: a row is drawn where its hash is below this.

    Example:
        >>> draw = DrawnRows.of(rows=1000, count=10, seed=0)
        >>> int(draw.holds(np.arange(1000)).sum())
        10
    """

    seed: int
    bound: int

    @classmethod
    def of(cls, rows: int, count: int, seed: int) -> Self:
        """Draw `count` of so many rows, all of them where there are no more."""
        if count >= rows:
            return cls(seed, 2**64)
        smallest = np.empty(0, np.uint64)
        for start in range(0, rows, _AT_ONCE):
            more = hashed(np.arange(start, min(start + _AT_ONCE, rows)), seed)
            smallest = np.concatenate([smallest, more])
            if len(smallest) > count + 1:
                smallest = np.partition(smallest, count)[: count + 1]
        return cls(seed, int(np.sort(smallest)[count]))

    def holds(self, rows: Numbers) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which of these rows are drawn, [N]."""
        if self.bound == 2**64:
            return np.ones(len(rows), dtype=bool)
        found: np.ndarray[Any, np.dtype[np.bool_]] = hashed(rows, self.seed) < np.uint64(self.bound)
        return found


def hashed(rows: Numbers, seed: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """A value for each row number, [N], as random as if drawn, and no two the same: splitmix64 (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        start = _mixed(np.array([seed % 2**64], dtype=np.uint64))
        return _mixed(rows.astype(np.uint64) + start)


def read_drawn(files: TableFiles, draw: DrawnRows, told: Told | None = None) -> tuple[Numbers, pd.DataFrame]:
    """Read the drawn rows of a table: their numbers, in order, and the rows."""
    numbers, parts = [], []
    for block in files.blocks:
        row = block.first
        for table in files.tables(block):
            chosen = np.flatnonzero(draw.holds(np.arange(row, row + len(table))))
            if len(chosen):
                parts.append(files.frame(table.take(chosen)))
                numbers.append(row + chosen)
            row += len(table)
        if told is not None:
            told((block.first + block.rows) / len(files))
    return np.concatenate(numbers), pd.concat(parts, ignore_index=True)


def _mixed(bits: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    bits = bits * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
