"""Made-up tables, and small models of them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from yuragi.predictions import ClassificationPrediction, NumericPrediction, RegressionPrediction
from yuragi.tables.encoder import TableEncoder
from yuragi.tables.schema import Schema
from yuragi.tabular import TabularModel, fit_tabular
from yuragi.training import ConvergenceWarning

HOSTILE = "<script>alert('%{x}')</script>&amp;"


@dataclass(frozen=True)
class FittedTable:
    """What a report is written from, at its smallest."""

    schema: Schema
    encoder: TableEncoder
    tabular: TabularModel
    about: Mapping[str, Any]

    def predict(
        self, frame: pd.DataFrame, samples: int = 100, seed: int = 0
    ) -> NumericPrediction | ClassificationPrediction:
        return self.tabular.predict(self.encoder.transform(frame), samples, seed)


@functools.cache
def fitted_numbers() -> FittedTable:
    return _fitted(houses(200, 0), "rent")


@functools.cache
def fitted_classes() -> FittedTable:
    return _fitted(flowers(150, 0), "kind")


def _fitted(frame: pd.DataFrame, target: str) -> FittedTable:
    schema = Schema.of(frame, target)
    y = schema.targets(frame)
    encoder = TableEncoder(schema)
    x = encoder.fit_transform(frame, y)
    classes = len(schema.classes) or None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what it learns does not matter here
        tabular = fit_tabular(x, y, schema.task, posterior="anchored", members=2, classes=classes, epochs=10, seed=0)
    assert tabular.history is not None
    about = {
        "seed": 0,
        "data": {"sha256": "0" * 64},
        "scores": {"rows": 40, "model": {"rmse": 1.5}, "linear": {"rmse": 2.5}, "gain": {"linear": [0.5, 0.1]}},
        "training_curve": {"loss": list(tabular.history.loss), "validation": [[5, -2.0], [10, -1.5]]},
    }
    return FittedTable(schema, encoder, tabular, about)


def houses(rows: int, seed: int) -> pd.DataFrame:
    """Rents that depend on all columns but the walk, with noise that grows with the area; some names are HTML."""
    rng = np.random.default_rng(seed)
    area = rng.gamma(6, 10, rows)
    town = rng.choice([HOSTILE, "仙台", "Midori"], rows, p=[0.5, 0.3, 0.2])
    built = pd.Timestamp("1970-01-01") + pd.to_timedelta(rng.integers(0, 18_000, rows), unit="D")
    lift = rng.random(rows) < 0.4
    age = (pd.Timestamp("2020-01-01") - built).days / 365
    rent = 30 + 1.2 * area + 20 * (town == "仙台") + 8 * lift - 0.4 * age + 0.1 * area * rng.normal(size=rows)
    area[rng.random(rows) < 0.03] = np.nan
    walk = rng.integers(1, 20, rows)
    return pd.DataFrame({"area": area, "town": town, "built": built, "lift": lift, HOSTILE: walk, "rent": rent})


def flowers(rows: int, seed: int) -> pd.DataFrame:
    """Three kinds of flowers, two of which overlap."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, rows)
    length = np.array([1.5, 4.3, 5.3])[kind] + 0.45 * rng.normal(size=rows)
    width = np.array([0.3, 1.4, 1.9])[kind] + 0.2 * rng.normal(size=rows)
    return pd.DataFrame({"length": length, "width": width, "kind": np.array(["iris", HOSTILE, "すみれ"])[kind]})


class LinearModel:
    """Draws of slope·a + offset, and 3 more where `town` is "north"; what it does not read has no influence."""

    def __init__(self, frame: pd.DataFrame, target: str, noise: float = 0.5) -> None:
        self.schema = Schema.of(frame, target)
        self.noise = noise
        self.tabular = fitted_numbers().tabular
        self.about: Mapping[str, Any] = {}

    @property
    def draws(self) -> torch.Tensor:
        """Slope and offset of each, [2, 100]."""
        return torch.randn(2, 100, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def predict(self, frame: pd.DataFrame, samples: int = 100, seed: int = 0) -> RegressionPrediction:
        slope, offset = self.draws[:, :samples, None]
        a = torch.tensor(frame["a"].to_numpy(dtype=np.float64))
        north = torch.tensor((frame["town"] == "north").to_numpy(dtype=np.float64))
        f = (slope * a + offset + 3 * north)[..., None]
        return RegressionPrediction(f, torch.full_like(f, self.noise))


def towns(rows: int, seed: int) -> pd.DataFrame:
    """A table for `LinearModel`."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": rng.normal(size=rows), "town": rng.choice(["north", "south"], rows)})
    frame["unused"] = rng.normal(size=rows)
    frame["y"] = frame["a"] + rng.normal(size=rows)
    return frame
