"""What an encoder learns of its training table, and the transformer of scikit-learn that is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

from yuragi.tables import cells, numerals
from yuragi.tables.calendar import Calendar, varying
from yuragi.tables.cells import Floats
from yuragi.tables.columns import Column

ONE_HOT = 20
"""The most levels of a category that get an output of their own, the most frequent ones."""


@dataclass(frozen=True)
class Learned:
    """What `fit` learns beyond the columns, in numbers and text alone.

    Args:
        numbers: by column, [value for missing ones, loc, scale].
        dates: by column, "fill", and "parts" of the calendar with their "loc" and "scale".
        encodings: [outputs][large categories][levels], the mean target of each level.
    """

    numbers: dict[str, list[float]]
    dates: dict[str, dict[str, Any]]
    encodings: list[list[list[float]]]


def learn(columns: tuple[Column, ...], values: Floats, targets: Floats) -> Learned:
    """Learn from what `matrix` gives for the training table, and the standardised targets, [N, outputs]."""
    numbers, dates = {}, {}
    for column, column_values in zip(columns, values.T, strict=False):  # without the codes of large categories
        if column.kind == "category":
            continue
        found = column_values[~np.isnan(column_values)]
        if column.quantiles:
            fill = column.quantiles[50]
        else:
            fill = float(cells.TRUTH.get(numerals.plain(next(iter(column.levels))).lower(), False))
        filled = np.where(np.isnan(column_values), fill, column_values)
        if column.kind == "date":
            parts = varying(found if found.size else filled)
            loc, scale = scales(Calendar(parts).transform(filled[:, None]))
            dates[column.name] = {"fill": fill, "parts": parts, "loc": loc, "scale": scale}
        else:
            loc, scale = scales(filled[:, None])
            numbers[column.name] = [fill, loc[0], scale[0]]
    codes = values[:, len(columns) :]
    fitted = [target_encoder(columns).fit(codes, target) for target in targets.T]
    return Learned(numbers, dates, [[finite(level_means).tolist() for level_means in one.encodings_] for one in fitted])


def scales(values: Floats) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each column of an array [N, D]; the latter is 1 for a constant one."""
    loc, scale = values.mean(0), values.std(0)
    constant = np.ptp(values, 0) <= 1e-12 * np.abs(values).max(0)
    return loc.tolist(), np.where(constant | (scale == 0), 1.0, scale).tolist()


def built(columns: tuple[Column, ...], learned: Learned) -> ColumnTransformer:
    """The fitted transformer of what `matrix` gives.

    It is fitted on two made-up rows, so that every part is complete by its own fit, then given the numbers learned: the
    fitted and the restored encoder are made by the same steps from the same numbers.
    """
    places = {column.name: place for place, column in enumerate(columns)}
    categories = [column for column in columns if column.kind == "category"]
    large = [column for column in columns if is_large(column)]
    branches: list[tuple[str, Any, list[int]]] = []
    if learned.numbers:
        branches.append(("number", _standardiser(), [places[name] for name in learned.numbers]))
    for number, (name, date) in enumerate(learned.dates.items()):
        branches.append((f"date {number}", _standardiser(Calendar(date["parts"])), [places[name]]))
    indicated = [places[column.name] for column in columns if has_indicator(column)]
    if indicated:
        branches.append(("missing", MissingIndicator(features="all"), indicated))
    if categories:
        levels = [_shown_codes(column) for column in categories]
        encoder = OneHotEncoder(categories=levels, handle_unknown="ignore", sparse_output=False)
        branches.append(("category", encoder, [places[column.name] for column in categories]))
    for output in range(len(learned.encodings)):
        branches.append(
            (f"target {output}", target_encoder(columns), [len(columns) + place for place in range(len(large))])
        )
    example = np.zeros((2, len(columns) + len(large)))
    for name, (fill, _, _) in learned.numbers.items():
        example[:, places[name]] = fill
    for name, date in learned.dates.items():
        example[:, places[name]] = date["fill"]
    transformer = ColumnTransformer(branches, sparse_threshold=0).fit(example, np.array([0.0, 1.0]))
    fitted = transformer.named_transformers_
    if learned.numbers:
        _give_scales(fitted["number"], *np.array(list(learned.numbers.values())).T[1:])
    for number, date in enumerate(learned.dates.values()):
        _give_scales(fitted[f"date {number}"], np.array(date["loc"]), np.array(date["scale"]))
    for output, encodings in enumerate(learned.encodings):
        fitted[f"target {output}"].encodings_ = [np.array(level_means) for level_means in encodings]
        fitted[f"target {output}"].target_mean_ = 0.0  # the targets are standardised
    return transformer


def target_encoder(columns: tuple[Column, ...]) -> TargetEncoder:
    """An unfitted encoder of the large categories by the mean target of each level."""
    # after the levels come the codes of missing and of other values
    levels = [np.arange(len(column.levels) + 2.0) for column in columns if is_large(column)]
    # two folds, for the two rows of `built`; `fit` takes none
    return TargetEncoder(categories=levels, target_type="continuous", cv=2)


def matrix(columns: tuple[Column, ...], read: Mapping[str, Floats]) -> Floats:
    """What the transformer reads, [N, columns + large categories], from the columns as `columns.read` gives them.

    One column each: numbers with NaN where missing or infinite, and codes; then the codes of large categories once more.
    """
    shown_values, large = [], []
    for column in columns:
        values = read[column.name]
        if column.kind != "category":
            shown_values.append(np.where(np.isfinite(values), values, np.nan))
            continue
        levels = len(column.levels)
        own = min(levels, ONE_HOT)
        other = own if is_large(column) else -1
        shown_values.append(np.where(values == levels, own + 1, np.where(values < own, values, other)))
        shown_values[-1][values == -1] = other
        if is_large(column):
            large.append(np.where(values == -1, levels + 1, values))
    return np.stack([*shown_values, *large], axis=1)


def is_large(column: Column) -> bool:
    """Whether a column is a category with more levels than have an output of their own."""
    return column.kind == "category" and len(column.levels) > ONE_HOT


def has_indicator(column: Column) -> bool:
    """Whether an output says where the column is missing; a category has a level for that."""
    return column.kind != "category" and bool(column.missing)


def finite(encodings: Floats) -> Floats:
    """Mean targets, 0 for those of levels without rows and of targets that are constant in a fold."""
    return np.where(np.isfinite(encodings), encodings, 0.0)


def _standardiser(*between: Any) -> Pipeline:
    steps = [SimpleImputer(strategy="median", keep_empty_features=True), *between, StandardScaler()]
    return Pipeline([(str(place), step) for place, step in enumerate(steps)])


def _give_scales(pipeline: Pipeline, loc: Floats, scale: Floats) -> None:
    scaler = pipeline[-1]
    scaler.mean_, scaler.scale_, scaler.var_ = loc, scale, scale**2


def _shown_codes(column: Column) -> Floats:
    own = min(len(column.levels), ONE_HOT)
    return np.array([*range(own), *[own] * is_large(column), *[own + 1] * bool(column.missing)], dtype=np.float64)
