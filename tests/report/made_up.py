"""Made-up tables, and small models fitted to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from yuragi.predictions import ClassificationPrediction, NumericPrediction
from yuragi.tables.encoder import TableEncoder
from yuragi.tables.schema import Schema
from yuragi.tabular import TabularModel, fit_tabular


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


def fitted(frame: pd.DataFrame, target: str, epochs: int = 40, **about: Any) -> FittedTable:
    schema = Schema.of(frame, target)
    rows = schema.with_target(frame)
    y = schema.targets(rows)
    encoder = TableEncoder(schema)
    x = encoder.fit_transform(rows, y)
    classes = len(schema.classes) or None
    model = fit_tabular(x, y, schema.task, posterior="anchored", members=4, classes=classes, epochs=epochs, seed=0)
    assert model.history is not None
    curve = {"loss": list(model.history.loss), "validation": [[1, -2.0], [epochs, -1.5]]}
    return FittedTable(schema, encoder, model, {"seed": 0, "training_curve": curve, **about})


def houses(rows: int, seed: int) -> pd.DataFrame:
    """Rents that depend on every column, with noise that grows with the area; the number is of no use."""
    rng = np.random.default_rng(seed)
    area = rng.gamma(6, 10, rows)
    town = rng.choice(["Aoba", "Izumi", "Midori", "Sakura"], rows, p=[0.5, 0.3, 0.19, 0.01])
    built = pd.Timestamp("1970-01-01") + pd.to_timedelta(rng.integers(0, 18_000, rows), unit="D")
    lift = rng.random(rows) < 0.4
    age = (pd.Timestamp("2020-01-01") - built).days / 365
    rent = 30 + 1.2 * area + 20 * (town == "Aoba") + 8 * lift - 0.4 * age + 0.1 * area * rng.normal(size=rows)
    area = np.where(rng.random(rows) < 0.03, np.nan, area)
    return pd.DataFrame(
        {
            "area": area.round(1),
            "town": town,
            "built": built,
            "lift": lift,
            "walk": rng.integers(1, 20, rows),
            "rent": rent,
        }
    )


def flowers(rows: int, seed: int) -> pd.DataFrame:
    """Three kinds of flowers, two of which overlap."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, rows)
    length = np.array([1.5, 4.3, 5.3])[kind] + 0.45 * rng.normal(size=rows)
    width = np.array([0.3, 1.4, 1.9])[kind] + 0.2 * rng.normal(size=rows)
    names = np.array(["iris", "rose", "violet"])
    return pd.DataFrame(
        {"length": length, "width": width, "soil": rng.choice(["clay", "sand"], rows), "kind": names[kind]}
    )
