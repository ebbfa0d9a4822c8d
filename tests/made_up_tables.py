"""Made-up tables, and small models of them that are fitted once for all tests of a process."""

from __future__ import annotations

import functools
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from yuragi import ConvergenceWarning
from yuragi.tables import TableModel, fit_table

NOISE = 0.5


def table(rows: int = 80, seed: int = 0) -> pd.DataFrame:
    """Numbers, a category, a large category, a truth value, a date, missing values; targets `price` and `kind`."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "size": rng.normal(10, 2, rows),
            "colour": rng.choice(["red", "blue", "green"], rows),
            "shop": [f"shop {number}" for number in rng.integers(0, 25, rows)],
            "open": rng.choice(["yes", "no"], rows),
            "day": pd.date_range("2024-01-01", periods=rows).strftime("%Y-%m-%d"),
        }
    )
    frame["price"] = 100 + 3 * frame["size"] + 2 * (frame["colour"] == "red") + NOISE * rng.normal(size=rows)
    frame["kind"] = np.where(frame["size"] + rng.normal(size=rows) > 10, "large", "small")
    frame.loc[3, "size"] = np.nan
    frame.loc[5, "colour"] = None
    return frame.round({"size": 3, "price": 3})


@functools.cache
def model(target: str = "price") -> TableModel:
    """A model of `table()`, quickly fitted: "price" is a regression, "kind" a classification."""
    other = {"price": "kind", "kind": "price"}[target]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit_table(table().drop(columns=other), target, posterior="anchored", members=2, epochs=40)


@functools.cache
def model_file(target: str = "price") -> bytes:
    """The file of that model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.yuragi"
        model(target).save(path)
        return path.read_bytes()
