"""The schema of a training table: its features, its target, and what later tables are held against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, get_args

import numpy as np
import pandas as pd

from yuragi.tables import cells, columns, numerals
from yuragi.tables.columns import Column, LeftOut
from yuragi.tables.errors import TableError, counted, listed, shown
from yuragi.tables.frames import as_frame, features, read_features
from yuragi.tables.notes import Unusual, unusual

Task = Literal["regression", "classification"]

CLASSES = 100
"""The most classes of a classification."""

FEW = 10
"""The most different whole numbers that are taken as classes when nothing is said."""

_ROWS_PER_CLASS = 5  # on average, of whole numbers that are taken as classes


@dataclass(frozen=True)
class Schema:
    """What the training table was: all that a model has to know about tables, in numbers and text.

    Args:
        columns: the features, in the order of the table.
        left_out: the other columns, and why no model should read them.
        target: the column to predict; for classification a category whose levels are the classes.
        task: regression or classification.
        classes: in the order of predicted probabilities; () for regression.
        rows: of the training table, without those that have no target.
    """

    columns: tuple[Column, ...]
    left_out: tuple[LeftOut, ...]
    target: Column
    task: Task
    classes: tuple[str, ...]
    rows: int

    @classmethod
    def of(cls, frame: Any, target: str, task: Task | None = None) -> Self:
        """Learn the schema of a training table; rows without a target are left aside, and `target.missing` counts them.

        Without `task`, the target decides. Text, booleans, and categories of pandas are classes. So are whole numbers of
        at most `FEW` different values, each of which stands in at least two rows and on average in five or more. All
        other numbers are a regression.

        Args:
            frame: a table, of pandas or anything with `to_pandas()`.
            target: the column to predict.
            task: "regression" or "classification", to decide it.

        Raises:
            TableError: the target is missing, constant, a date or free text, a class has one row only, or no column is
                left to predict from.

        Example:
            >>> frame = pd.DataFrame({"size": [1.5, 2.5, 3.0, 4.0] * 5, "colour": ["red", "blue"] * 10, "price": range(20)})
            >>> schema = Schema.of(frame, "price")
            >>> schema.task, [(column.name, column.kind) for column in schema.columns]
            ('regression', [('size', 'number'), ('colour', 'category')])
            >>> Schema.of(frame, "colour").classes
            ('blue', 'red')
        """
        frame = as_frame(frame)
        if target not in frame.columns:
            raise TableError(f"the target column {shown(target)} is missing; the table has {listed(frame.columns)}")
        gone = cells.missing(frame[target])
        if gone.all():
            raise TableError(f"the target {shown(target)} has no values in {len(frame):,} rows: nothing to learn")
        rows = frame[~gone].reset_index(drop=True)
        goal, task = _target(rows[target], np.flatnonzero(~gone), target, task)
        found, left_out = features(rows.drop(columns=target))
        classes = tuple(sorted(goal.levels, key=class_order)) if task == "classification" else ()
        return cls(found, left_out, replace(goal, missing=int(gone.sum())), task, classes, len(rows))

    def with_target(self, frame: Any) -> pd.DataFrame:
        """The rows that have a target, in order, numbered from 0."""
        frame = as_frame(frame)
        self._check_target(frame)
        known: pd.DataFrame = frame[~cells.missing(frame[self.target.name])].reset_index(drop=True)
        return known

    def targets(self, frame: Any) -> np.ndarray[Any, Any]:
        """The target of each row: float64 [N] for regression, the position in `classes` as int64 [N] for classification.

        Raises:
            TableError: the column is missing, or a value is missing, infinite, no number, or a class that the training
                table had not.
        """
        frame = as_frame(frame)
        self._check_target(frame)
        name, column = shown(self.target.name), frame[self.target.name]
        if self.task == "regression":
            values = columns.read(self.target, column)
            bad, what = ~np.isfinite(values), "no number"
        else:
            places = {level: place for place, level in enumerate(self.classes)}
            values = np.array([places.get(text or "", -1) for text in self.class_texts(frame)], np.int64)
            bad, what = values < 0, f"none of the classes {listed(self.classes)}"
        if bad.any():
            row = int(bad.argmax())
            raise TableError(
                f"the target {name} is {shown(column.iloc[row])} in row {row + 1}, {what}: correct or drop "
                f"{int(bad.sum()):,} such rows"
            )
        return values

    def class_texts(self, frame: Any) -> list[str | None]:
        """The target of each row as text, None where missing: of `classes` where it says one of them, else as written."""
        return _class_texts(as_frame(frame)[self.target.name], self.classes)

    def check(self, frame: Any) -> dict[str, cells.Floats]:
        """Read the features of a table, by name, each as `columns.read` does.

        Raises:
            TableError: columns are missing, or hold another kind of value than in the training table.
        """
        return read_features(as_frame(frame), self.columns)

    def notes(self, frame: Any) -> list[str]:
        """What is unusual about a table, for a person to read: one sentence a column, in the order of the columns.

        Numbers and dates outside the range of the training table, infinite numbers, levels that it had not, missing values
        where it had none, and columns that the model does not use.

        Raises:
            TableError: as for `check`.

        Example:
            >>> train = pd.DataFrame({"size": [1.5, 2.5, 3.0, 4.0] * 5, "price": np.arange(20) / 2})
            >>> Schema.of(train, "price").notes(pd.DataFrame({"size": [2.0, 70.0, None], "shop": "A"}))
            ["column 'size': 1 missing value, and the training table had none",
             "column 'size': 1 value outside the training range 1.5 to 4, the first in row 2: 70",
             "1 column that the model does not use: 'shop'"]
        """
        frame = as_frame(frame)
        return self.sentences(self.unusual(frame), frame.columns)

    def unusual(self, frame: Any) -> list[Unusual]:
        """What `notes` says of the values of a table, not yet in words.

        Raises:
            TableError: as for `check`.
        """
        frame = as_frame(frame)
        read = self.check(frame)
        return [one for column in self.columns for one in unusual(column, read[column.name], frame[column.name])]

    def sentences(self, found: Sequence[Unusual], names: Iterable[Any]) -> list[str]:
        """What was found in a table with these columns, in words, in the order of the model's columns."""
        places = {column.name: place for place, column in enumerate(self.columns)}
        notes = [one.sentence() for one in sorted(found, key=lambda one: places[one.column])]
        known = {self.target.name, *places, *(one.name for one in self.left_out)}
        extra = [str(name) for name in names if name not in known]
        if extra:
            notes.append(f"{counted(len(extra), 'column')} that the model does not use: {listed(extra)}")
        return notes

    def described(self) -> dict[str, Any]:
        """Everything about it, for JSON."""
        return asdict(self)

    @classmethod
    def restore(cls, described: Mapping[str, Any]) -> Self:
        """The schema that `described` described.

        Raises:
            TableError: it is no description of a schema.
        """
        try:
            schema = cls(
                tuple(Column.restore(column) for column in described["columns"]),
                tuple(LeftOut(str(one["name"]), str(one["reason"])) for one in described["left_out"]),
                Column.restore(described["target"]),
                described["task"],
                tuple(described["classes"]),
                described["rows"],
            )
            classes = schema.target.levels if schema.task == "classification" else ()
            if schema.task not in get_args(Task) or set(schema.classes) != set(classes) or not schema.columns:
                raise ValueError(f"a {shown(schema.task)} with {len(schema.classes)} classes")
            if not isinstance(schema.rows, int):
                raise ValueError(f"{shown(schema.rows)} rows")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise TableError(f"not the description of a table's schema ({shown(str(error), 200)})") from error
        return schema

    def _check_target(self, frame: pd.DataFrame) -> None:
        if self.target.name not in frame.columns:
            raise TableError(
                f"the target column {shown(self.target.name)} is missing; the table has {listed(frame.columns)}"
            )


def _target(column: pd.Series[Any], places: np.ndarray[Any, Any], name: str, task: Task | None) -> tuple[Column, Task]:
    quoted = shown(name)
    found = columns.find(name, column, keep_running=True)
    if isinstance(found, LeftOut):
        raise TableError(f"the target {quoted} cannot be predicted: {found.reason}")
    if found.missing:  # the missing ones are gone: what is left is infinite, or a word among numbers
        values = columns.read(found, column)
        row = int((~np.isfinite(values)).argmax())
        raise TableError(
            f"the target {quoted} is {shown(column.iloc[row])} in row {places[row] + 1}, among numbers: correct it, or "
            f"leave it empty ({counted(found.missing, 'such row')})"
        )
    if found.kind == "date":
        raise TableError(f"the target {quoted} is a date: give it as a number, such as days since a first one")
    classes = _classes(found, column)
    if task is None:
        task = "classification" if found.kind != "number" or _few(classes) else "regression"
    if task == "regression":
        if found.kind != "number":
            example = shown(next(iter(found.levels)))
            raise TableError(f"the target {quoted} holds {example}, no number: a regression cannot predict it")
        return found, task
    return Column(name, "category", 0, levels=check_classes(name, classes)), task


def check_classes(name: str, classes: dict[str, int]) -> dict[str, int]:
    """The classes of a target with their numbers of rows, where there are not too many, and each has several rows.

    Raises:
        TableError: there are more than `CLASSES`, or one has a single row.
    """
    quoted = shown(name)
    if len(classes) > CLASSES:
        raise TableError(f"the target {quoted} has {len(classes):,} different values, at most {CLASSES} can be classes")
    single = [level for level, count in classes.items() if count == 1]
    if single:
        raise TableError(
            f"the target {quoted} has the class {shown(single[0])} in one row only"
            f"{f' (and {len(single) - 1} more such classes)' if len(single) > 1 else ''}: merge it with another, or drop it"
        )
    return classes


def class_order(level: str) -> tuple[bool, float, bool, str]:
    """By what classes are sorted: numbers as numbers, no before yes, anything else by its letters."""
    number, truth = numerals.number(level, "."), cells.TRUTH.get(level.lower())
    return number is None, number or 0.0, bool(truth), level


def _classes(found: Column, column: pd.Series[Any]) -> dict[str, int]:
    if found.kind != "number":
        return dict(found.levels)
    counts = Counter(text for text in cells.texts(pd.Series(columns.read(found, column))) if text is not None)
    return dict(sorted(counts.items(), key=lambda one: (-one[1], class_order(one[0]))))


def _few(classes: Mapping[str, int]) -> bool:
    whole = all(numerals.integers([level]) for level in classes)
    rows = sum(classes.values())
    return whole and len(classes) <= FEW and min(classes.values()) > 1 and rows >= _ROWS_PER_CLASS * len(classes)


def _class_texts(column: pd.Series[Any], classes: Sequence[str]) -> list[str | None]:
    # a class is what it says, however it is written: "Yes" and "yes" of two truth values, "1" and "1.0" of numbers
    texts = cells.texts(column)
    truth = {cells.TRUTH.get(numerals.plain(level).lower()): level for level in classes}
    if len(classes) == 2 and set(truth) == {True, False}:
        said = cells.truths(column)
        return [
            text if text is None or np.isnan(one) else truth[bool(one)] for text, one in zip(texts, said, strict=True)
        ]
    known = {numerals.number(level, "."): level for level in classes if numerals.number(level, ".") is not None}
    return [
        text if text is None or text in classes else known.get(numerals.number(numerals.plain(text), "."), text)
        for text in texts
    ]
