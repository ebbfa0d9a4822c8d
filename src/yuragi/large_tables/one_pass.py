"""What the columns of a large table hold, in one pass over it: the schema, and the encoder with its scales.

What kind of column each is, and its percentiles, are those of a sample. All else is of all rows: how many values are missing,
the smallest and the largest, how often each level occurs, means and standard deviations, mean targets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from yuragi.large_tables.drawn_rows import DrawnRows, Numbers, hashed
from yuragi.large_tables.levels import FOLDS, Levels
from yuragi.large_tables.moments import Moments
from yuragi.large_tables.sources import TableFiles, Told, counting_from
from yuragi.tables import cells, columns, numerals
from yuragi.tables.calendar import PARTS, Calendar
from yuragi.tables.cells import Floats
from yuragi.tables.columns import LARGEST, WORDS, Column
from yuragi.tables.encoder import TableEncoder, frequent_classes, indicators
from yuragi.tables.errors import TableError, shown
from yuragi.tables.frames import read_features
from yuragi.tables.schema import FEW, Schema, check_classes, class_order
from yuragi.tables.transformer import Learned, is_large, matrix

_VARIES = 1e-9  # what a part of the calendar differs by, at least
_CONSTANT = 1e-12  # a column that differs by no more, relative to its size, is constant


@dataclass(frozen=True)
class LearntColumns:
    """What a pass over a large table has found.

    Args:
        schema, encoder: of its columns.
        held_out: the mean targets of the levels of large categories in the training rows outside of each fold,
            [FOLDS][outputs][large categories], each [levels + 2].
        loc, scale: mean and standard deviation of the target of a regression in the training rows.
        learnt: training rows: those that have a target and are not held out.
        checked: rows held out that have a target.
        seed: of the folds.
    """

    schema: Schema
    encoder: TableEncoder
    held_out: list[list[list[Floats]]]
    loc: float
    scale: float
    learnt: int
    checked: int
    seed: int

    def training_inputs(self, frame: pd.DataFrame, rows: Numbers) -> Floats:
        """Encode training rows of these numbers: float64 [N, D]. No row is told its own target."""
        encoded = self.encoder.transform(frame)
        large = tuple(column for column in self.schema.columns if is_large(column))
        if large and self.held_out[0]:
            codes = matrix(large, read_features(frame, large))[:, len(large) :].astype(np.int64)
            fold = folds(rows, self.seed)
            told = np.empty((len(codes), len(self.held_out[0]) * len(large)))
            for one, outputs in enumerate(self.held_out):
                for place, means in enumerate(mean for output in outputs for mean in output):
                    told[fold == one, place] = means[codes[fold == one, place % len(large)]]
            encoded[:, encoded.shape[1] - told.shape[1] :] = told
        return encoded


def folds(rows: Numbers, seed: int) -> Numbers:
    """The fold of each row, by its number."""
    return (hashed(rows, seed + 1) % np.uint64(FOLDS)).astype(np.int64)


def learn_columns(
    files: TableFiles,
    sample: pd.DataFrame,
    schema: Schema,
    checked: DrawnRows,
    *,
    task: str | None = None,
    seed: int = 0,
    told: Told | None = None,
) -> LearntColumns:
    """Go through a table once.

    Args:
        files: the table.
        sample: rows of it that have a target.
        schema: of the sample.
        checked: the rows that are held out.
        task: what was asked for; None where the target decides.
        seed: of the folds.
        told: called with the share that is done.

    Raises:
        TableError: a column holds another kind of value than in the sample, or numbers beyond `LARGEST`; or a class has one
            row only.
    """
    target = _Target(schema, sample)
    seen = [_kind(column)(column, target.outputs) for column in schema.columns]
    for block in files.blocks:
        for row, frame in files.frames([block]):
            rows = np.arange(row, row + len(frame))
            with counting_from(row):
                known = ~cells.missing(frame[schema.target.name])
                learnt = known & ~checked.holds(rows)
                y = target.see(frame, known, learnt)
                part = _Part(known, learnt, folds(rows[learnt], seed), y)
                for one in seen:
                    one.see(frame[one.column.name], part)
        if told is not None:
            told((block.first + block.rows) / len(files))
    if not target.rows:
        raise TableError(f"the target {shown(schema.target.name)} has no values in the rows to learn from")
    found = replace(
        schema, columns=tuple(one.found() for one in seen), rows=target.known, **target.found(task, len(files))
    )
    if found.task == "classification":
        loc, scale = 0.0, 1.0
    else:
        loc, scale = target.units()
    large = [one for one in seen if isinstance(one, _Categories) and is_large(one.found())]
    learned = Learned(
        {one.column.name: one.learned() for one in seen if isinstance(one, _Numbers)},
        {one.column.name: one.learned() for one in seen if isinstance(one, _Dates)},
        [[m.tolist() for m in output] for output in _mean_targets(large, target)],
    )
    encoder = TableEncoder.restore(
        {"columns": [column.described() for column in found.columns], "learned": asdict(learned)}, found
    )
    held_out = [_mean_targets(large, target, fold) for fold in range(FOLDS)]
    return LearntColumns(found, encoder, held_out, loc, scale, target.rows, target.known - target.rows, seed)


@dataclass(frozen=True)
class _Part:
    """Some rows: which have a target, which are training rows, and the folds and the targets of those."""

    known: np.ndarray[Any, np.dtype[np.bool_]]
    learnt: np.ndarray[Any, np.dtype[np.bool_]]
    fold: Numbers
    y: Floats


class _Target:
    """The target: as numbers for mean targets, its moments, and its classes."""

    def __init__(self, schema: Schema, sample: pd.DataFrame) -> None:
        self.schema = schema
        self.known = self.rows = 0
        self.low, self.high = np.inf, -np.inf
        self.counts: Counter[str] = Counter()
        regression = schema.task == "regression"
        given = schema.targets(sample)
        self.frequent: list[str | None] = []
        if not regression:
            labels = [schema.classes[label] for label in given.tolist()]
            self.frequent = frequent_classes(labels)
        self.outputs = 1 if regression else len(self.frequent)
        # about the middle, so that sums of squares keep their digits
        self.shift, self.unit = (float(given.mean()), float(given.std()) or 1.0) if regression else (0.0, 1.0)
        self.moments = Moments.of(np.empty((0, self.outputs)))

    def see(self, frame: pd.DataFrame, known: Any, learnt: Any) -> Floats:
        rows = frame[known].reset_index(drop=True)
        among = learnt[known]
        self.known += len(rows)
        self.rows += int(among.sum())
        if self.schema.task == "classification":
            labels = [str(text) for text in self.schema.class_texts(rows)]
            self.counts.update(labels)
            y = indicators(labels, self.frequent)[among]
        elif len(rows):
            values = self.schema.targets(rows)
            if np.abs(values).max() > LARGEST:
                raise TableError(f"the target {shown(self.schema.target.name)} holds numbers beyond {LARGEST:g}")
            self.low, self.high = min(self.low, values.min()), max(self.high, values.max())
            y = ((values[among] - self.shift) / self.unit)[:, None]
        else:
            y = np.empty((0, 1))
        self.moments = self.moments.plus(Moments.of(y))
        return np.asarray(y)

    def units(self) -> tuple[float, float]:
        return self.shift + self.unit * self.moments.mean.item(), self.unit * (self.moments.std.item() or 1.0)

    def found(self, task: str | None, rows: int) -> dict[str, Any]:
        target = self.schema.target
        if self.schema.task == "regression":
            middle = np.clip(target.quantiles, self.low, self.high)[1:-1].tolist()
            quantiles = (float(self.low), *middle, float(self.high))
            return {"target": replace(target, quantiles=quantiles, missing=rows - self.known)}
        whole = all(numerals.integers([level]) for level in self.counts)
        if task is None and whole and len(self.counts) > FEW:
            raise TableError(
                f"the target {shown(target.name)} has {len(self.counts)} different whole numbers in all rows: say whether it "
                'is a "regression" or a "classification"'
            )
        counts = dict(sorted(self.counts.items(), key=lambda one: (-one[1], class_order(one[0]))))
        levels = check_classes(target.name, counts)
        return {
            "target": replace(target, levels=levels, missing=rows - self.known),
            "classes": tuple(sorted(levels, key=class_order)),
        }


class _Measured:
    """What has values on a scale: numbers, truth values as 0 and 1, dates."""

    def __init__(self, column: Column, outputs: int) -> None:
        self.column = column
        self.missing, self.low, self.high = 0, np.inf, -np.inf
        if column.kind == "boolean":
            self.fill = float(cells.TRUTH[numerals.plain(next(iter(column.levels))).lower()])
        else:
            self.fill = column.quantiles[50]
        parts = len(self._measured(np.array([self.fill]))[0])
        self.moments, self.filled = Moments.of(np.empty((0, parts))), 0
        self.least, self.most = np.full(parts, np.inf), np.full(parts, -np.inf)
        self.counts: Counter[float] = Counter()

    def see(self, values: pd.Series[Any], part: _Part) -> None:
        read = _read(self, values)
        read = np.where(np.isfinite(read), read, np.nan)
        known = read[part.known & ~np.isnan(read)]
        self.missing += int(part.known.sum()) - len(known)
        if len(known):
            self.low, self.high = min(self.low, known.min()), max(self.high, known.max())
        if max(-self.low, self.high) > LARGEST and len(known):
            raise TableError(
                f"column {shown(self.column.name)} holds {known[np.abs(known).argmax()]:g}, and numbers beyond {LARGEST:g} "
                "cannot be used: give it in another unit, or leave the value empty"
            )
        if self.column.kind == "boolean":
            self.counts.update(known.tolist())
        learnt = read[part.learnt]
        measured = self._measured(learnt[~np.isnan(learnt)])
        self.moments = self.moments.plus(Moments.of(measured))
        self.least = np.minimum(self.least, measured.min(0, initial=np.inf))
        self.most = np.maximum(self.most, measured.max(0, initial=-np.inf))
        self.filled += int(np.isnan(learnt).sum())

    def found(self) -> Column:
        if self.column.kind == "boolean":
            spelling = {float(cells.TRUTH[numerals.plain(one).lower()]): one for one in self.column.levels}
            spelling = {1.0: "True", 0.0: "False"} | spelling
            levels = {spelling[truth]: count for truth, count in self.counts.most_common()}
            return replace(self.column, missing=self.missing, levels=levels)
        quantiles = (float(self.low), *self.column.quantiles[1:-1], float(self.high))
        return replace(self.column, missing=self.missing, quantiles=quantiles)

    def _measured(self, values: Floats) -> Floats:
        return values[:, None]

    def _scales(self) -> tuple[list[float], list[float]]:
        fill = self._measured(np.array([self.fill]))[0]
        filled = self.moments.plus(Moments.repeated(fill, np.full(len(fill), float(self.filled))))
        constant = filled.std <= _CONSTANT * np.abs(filled.mean)
        return filled.mean.tolist(), np.where(constant, 1.0, filled.std).tolist()


class _Numbers(_Measured):
    """Numbers, and truth values."""

    def learned(self) -> list[float]:
        loc, scale = self._scales()
        return [self.fill, loc[0], scale[0]]


class _Dates(_Measured):
    """Dates: all parts of the calendar of each, of which those that vary are kept."""

    def learned(self) -> dict[str, Any]:
        loc, scale = self._scales()
        varies = (self.most - self.least > _VARIES) | (np.array(PARTS) == "elapsed")
        kept = np.flatnonzero(varies)
        return {
            "fill": self.fill,
            "parts": [PARTS[place] for place in kept],
            "loc": [loc[place] for place in kept],
            "scale": [scale[place] for place in kept],
        }

    def _measured(self, values: Floats) -> Floats:
        return Calendar().transform(values[:, None])


class _Categories:
    """Levels of a category."""

    def __init__(self, column: Column, outputs: int) -> None:
        self.column, self.levels = column, Levels(outputs)

    def see(self, values: pd.Series[Any], part: _Part) -> None:
        texts = np.array(cells.texts(values), dtype=object)[part.known].tolist()
        self.levels.see(texts, part.learnt[part.known], part.fold, part.y)

    def found(self) -> Column:
        return replace(self.column, missing=self.levels.missing, levels=self.levels.most_frequent())


def _kind(column: Column) -> type[_Measured] | type[_Categories]:
    kinds: dict[str, type[_Measured] | type[_Categories]] = {"date": _Dates, "category": _Categories}
    return kinds.get(column.kind, _Numbers)


def _read(one: _Measured, values: pd.Series[Any]) -> Floats:
    """A column as numbers; a few words among them, which the sample had not, become words for what is missing."""
    try:
        return columns.read(one.column, values)
    except TableError:
        words = (*one.column.words, *columns.foreign(one.column, values))
        if one.column.kind == "boolean" or len(words) > WORDS:
            raise
        one.column = replace(one.column, words=words)
        return columns.read(one.column, values)


def _mean_targets(large: Sequence[_Categories], target: _Target, apart: int | None = None) -> list[list[Floats]]:
    """[outputs][large categories], each [levels + 2]: the mean targets, in standard deviations of the target."""
    if not large:
        return []
    scale = np.where(target.moments.std > 0, target.moments.std, 1.0)
    found = [one.levels.encodings(list(one.found().levels), apart) for one in large]
    return [
        [(means[output] - target.moments.mean[output]) / scale[output] for means in found]
        for output in range(target.outputs)
    ]
