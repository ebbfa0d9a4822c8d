"""`TableEncoder`: from a table to numbers that a network can read, by scikit-learn's transformers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import KFold
from sklearn.utils.validation import check_is_fitted

from yuragi.tables import cells
from yuragi.tables.cells import Floats
from yuragi.tables.columns import Column
from yuragi.tables.errors import TableError, shown
from yuragi.tables.frames import as_frame, features, read_features
from yuragi.tables.schema import FEW, Schema
from yuragi.tables.transformer import (
    ONE_HOT,
    Learned,
    built,
    finite,
    has_indicator,
    is_large,
    learn,
    matrix,
    scales,
    target_encoder,
)

FARTHEST = 1e6
"""Outputs are cut off here, in standard deviations; no value of a training table of 10¹² rows is as far out."""

_FOLDS = 5
_CLASSES = 10  # whose frequencies encode the levels of a large category, the most frequent ones


class TableEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Encode each column by its kind, so that every value of any table becomes a finite number.

    | kind | outputs |
    |---|---|
    | number, boolean | the value, standardised; missing ones at the median |
    | date | time elapsed and the parts of the calendar that vary, standardised; missing ones at the median |
    | number, boolean or date with missing values | also 1 where missing |
    | category | 1 for the level, among the 20 most frequent ones, missing, and other; an unseen level is all zeros or other |
    | category of more than 20 levels | also the mean target of the level, shrunk to that of all rows |

    The mean target is that of scikit-learn's `TargetEncoder`, of the standardised target. `fit_transform` takes it for each
    fifth of the rows from the other four, so that no row is encoded by its own target; `fit(x, y).transform(x)` does not,
    and is for new rows. Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes", 2001.

    Args:
        schema: of the training table; when left out, `fit` finds the columns itself, and takes all of them as features.

    Attributes:
        columns_: the columns that are read.
        sources_: for each output, the name of the column that it comes from.

    Example:
        >>> frame = pd.DataFrame({"size": [1.5, None, 3.5, 1.5], "colour": ["red", "blue", "red", "blue"]})
        >>> TableEncoder().set_output(transform="pandas").fit_transform(frame).round(2)
           size  size missing  colour=blue  colour=red
        0 -0.58           0.0          0.0         1.0
        1 -0.58           1.0          1.0         0.0
        2  1.73           0.0          0.0         1.0
        3 -0.58           0.0          1.0         0.0
    """

    def __init__(self, schema: Schema | None = None):
        self.schema = schema

    def fit(self, frame: Any, y: Any = None) -> Self:
        """Learn the scales, and the mean targets of the levels of large categories.

        Args:
            frame: the training table.
            y: the target of each row: numbers [N] or [N, outputs], or classes [N] (for the schema of a classification, the
                positions that `Schema.targets` gives). When left out, the target of the schema, if the table has it; large
                categories have no mean targets if there is none.

        Raises:
            TableError: a column is missing or of another kind than the schema says, there is no column to read, or `y` is
                not the target of these rows.
        """
        self._fit(frame, y)
        return self

    def fit_transform(self, frame: Any, y: Any = None, **fit_params: Any) -> Floats:
        """Fit, and encode the training table itself: large categories out of fold. float64 [N, outputs]."""
        table, targets = self._fit(frame, y)
        encoded = self._encoded(table)
        if self._learned.encodings and len(table) > 1:
            codes = matrix(self.columns_, read_features(table, self.columns_))[:, len(self.columns_) :]
            held_out = np.empty((len(codes), codes.shape[1] * targets.shape[1]))
            for kept, fold in KFold(min(_FOLDS, len(codes)), shuffle=True, random_state=0).split(codes):
                parts = [
                    target_encoder(self.columns_).fit(codes[kept], target[kept]).transform(codes[fold])
                    for target in targets.T
                ]
                held_out[fold] = np.concatenate(parts, axis=1)
            encoded[:, encoded.shape[1] - held_out.shape[1] :] = finite(held_out)
        return encoded

    def transform(self, frame: Any) -> Floats:
        """Encode a table: float64 [N, outputs], all finite. Columns that it has besides are passed over.

        Raises:
            TableError: columns are missing, or hold another kind of value than in the training table.
        """
        check_is_fitted(self, "columns_")
        return self._encoded(as_frame(frame))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray[Any, Any]:
        """The name of each output, distinct: "size", "size missing", "colour=red", "day (month)"."""
        check_is_fitted(self, "columns_")
        names: list[str] = []
        taken: set[str] = set()
        for _, name in self._outputs():
            new, number = name, 1
            while new in taken:  # a column may be called "colour=red"
                number += 1
                new = f"{name} ({number})"
            taken.add(new)
            names.append(new)
        return np.array(names, dtype=object)

    @property
    def sources_(self) -> tuple[str, ...]:
        """For each output, the name of the column that it comes from."""
        check_is_fitted(self, "columns_")
        return tuple(column.name for column, _ in self._outputs())

    def described(self) -> dict[str, Any]:
        """Everything that was learned, for JSON."""
        check_is_fitted(self, "columns_")
        return {"columns": [column.described() for column in self.columns_], "learned": asdict(self._learned)}

    @classmethod
    def restore(cls, described: Mapping[str, Any], schema: Schema | None = None) -> Self:
        """The fitted encoder that `described` described; it encodes bit-identically.

        Raises:
            TableError: it is no description of an encoder.
        """
        try:
            encoder = cls(schema)
            columns = tuple(Column.restore(column) for column in described["columns"])
            encoder._set(columns, Learned(**described["learned"]), [column.name for column in columns])
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise TableError(f"not the description of a table's encoder ({shown(str(error), 200)})") from error
        return encoder

    def __sklearn_tags__(self) -> Any:
        """Of scikit-learn: what may be given to it."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags

    def _fit(self, frame: Any, y: Any) -> tuple[pd.DataFrame, Floats]:
        table = as_frame(frame)
        if not len(table):
            raise TableError("the table has no rows")
        columns = features(table)[0] if self.schema is None else self.schema.columns
        values = matrix(columns, read_features(table, columns))
        if y is None and self.schema is not None and self.schema.target.name in table.columns:
            y = self.schema.targets(table)
        large = any(is_large(column) for column in columns)
        targets = _targets(y, self.schema, len(table)) if large and y is not None else np.empty((len(table), 0))
        self._set(columns, learn(columns, values, targets), list(table.columns))
        return table, targets

    def _set(self, columns: tuple[Column, ...], learned: Learned, names: list[str]) -> None:
        self.columns_, self._learned = columns, learned
        self.feature_names_in_, self.n_features_in_ = np.array(names, dtype=object), len(names)
        self._transformer = built(columns, learned)

    def _encoded(self, table: pd.DataFrame) -> Floats:
        if not len(table):
            raise TableError("the table has no rows")
        values = matrix(self.columns_, read_features(table, self.columns_))
        with np.errstate(over="ignore"):  # what is too far for a float64 is cut off, too
            encoded = np.asarray(self._transformer.transform(values), dtype=np.float64)
        return np.clip(encoded, -FARTHEST, FARTHEST)

    def _outputs(self) -> Iterator[tuple[Column, str]]:
        # in the order of the branches of `built`
        yield from ((column, column.name) for column in self.columns_ if column.kind in ("number", "boolean"))
        for column in self.columns_:
            for part in self._learned.dates.get(column.name, {}).get("parts", ()):
                yield column, f"{column.name} ({part})"
        yield from ((column, f"{column.name} missing") for column in self.columns_ if has_indicator(column))
        for column in self.columns_:
            if column.kind == "category":
                yield from ((column, f"{column.name}={level}") for level in list(column.levels)[:ONE_HOT])
                yield from [(column, f"{column.name} other")] * is_large(column)
                yield from [(column, f"{column.name} missing")] * bool(column.missing)
        outputs = len(self._learned.encodings)
        for place in range(outputs):
            which = f" {place + 1}" if outputs > 1 else ""
            yield from ((column, f"{column.name} mean target{which}") for column in self.columns_ if is_large(column))


def frequent_classes(labels: Sequence[str | None]) -> list[str | None]:
    """The classes whose frequencies encode the levels of a large category: one of two, else the most frequent ones."""
    frequent = [label for label, _ in Counter(labels).most_common(_CLASSES)]
    return frequent[:1] if len(set(labels)) == 2 else frequent


def indicators(labels: Sequence[str | None], classes: Sequence[str | None]) -> Floats:
    """1 where a label is a class, else 0: float64 [N, classes]."""
    return np.array([[label == one for one in classes] for label in labels], np.float64).reshape(-1, len(classes))


def _targets(y: Any, schema: Schema | None, rows: int) -> Floats:
    """The target as standardised numbers, float64 [N, outputs]: classes as the indicators of the most frequent ones."""
    values = np.asarray(y)
    if values.ndim not in (1, 2) or len(values) != rows:
        raise TableError(f"the target must have one entry for each of the {rows:,} rows, got shape {values.shape}")
    labels = cells.texts(pd.Series(values)) if values.ndim == 1 else []
    if values.ndim == 1 and (values.dtype.kind not in "fiu" or _is_classes(values, schema)):
        numbers = indicators(labels, frequent_classes(labels))
    else:
        numbers = values.astype(np.float64).reshape(rows, -1)
    if not np.isfinite(numbers).all():
        row = int((~np.isfinite(numbers)).any(axis=1).argmax())
        raise TableError(f"the target is {numbers[row].max():g} in row {row + 1}: drop the rows without a target")
    loc, scale = (np.array(part) for part in scales(numbers))
    standardised: Floats = (numbers - loc) / scale
    return standardised


def _is_classes(values: np.ndarray[Any, Any], schema: Schema | None) -> bool:
    if schema is not None:
        return schema.task == "classification"
    return bool((values == np.round(values)).all()) and len(np.unique(values)) <= FEW
