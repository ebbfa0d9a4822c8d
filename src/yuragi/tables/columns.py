"""What a column is: found once in the training table, and read the same way in every later one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, get_args

import numpy as np
import pandas as pd

from yuragi.tables import cells, dates, numerals
from yuragi.tables.cells import Floats
from yuragi.tables.errors import TableError, shown

Kind = Literal["number", "category", "boolean", "date"]

LARGEST = 1e100
"""Numbers beyond this are refused in a training table: their squares would leave the range of a float64."""

LEVELS = 10_000
"""The most levels that are kept of a category, the most frequent ones; the others count as unseen."""

LONGEST_LEVEL = 200
"""A column with a longer text than this is free text, and no category."""

WORDS = 3
"""The most words that a column of numbers or dates may use for what is missing."""

_WORD_SHARE = 0.1  # of the rows, at most
_FEWEST_NUMBERS = 10  # beside such words: a column of "1", "2" and "A" is a category
_RUNNING = 10  # rows from which a running number is noticed
_YEARS = (1500, 2200)  # whole numbers in this range may be years, which say more than a running number


@dataclass(frozen=True)
class Column:
    """A column of the training table, as later tables are read and compared with it.

    Args:
        name: as in the table.
        kind: what the values are.
        missing: missing values in the training table; infinite numbers count as missing.
        quantiles: the percentiles 0 to 100 of the training values: numbers, and dates as POSIX seconds.
        levels: of a category or a boolean, how often the training table has each, the most frequent first.
        notation: how text writes the numbers (see `numerals`) or the dates (see `dates`); "" if they were no text.
        words: texts that stand for a missing value in a column of numbers or dates, such as "?".
    """

    name: str
    kind: Kind
    missing: int
    quantiles: tuple[float, ...] = ()
    levels: Mapping[str, int] = field(default_factory=dict)
    notation: str = ""
    words: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """Everything about it, for JSON."""
        return asdict(self)

    @classmethod
    def restore(cls, described: Mapping[str, Any]) -> Self:
        """The column that `described` described.

        Raises:
            ValueError: it is no description of a column (or a `KeyError`, `TypeError`, or `AttributeError`).
        """
        column = cls(
            described["name"],
            described["kind"],
            described["missing"],
            tuple(described["quantiles"]),
            dict(described["levels"]),  # JSON keeps their order
            described["notation"],
            tuple(described["words"]),
        )
        ranged = column.kind in ("number", "date")
        texts = [column.name, column.notation, *column.words, *column.levels]
        if (
            column.kind not in get_args(Kind)
            or not all(isinstance(text, str) for text in texts)
            or not all(isinstance(count, int) for count in [column.missing, *column.levels.values()])
            or len(column.quantiles) != 101 * ranged
            or bool(column.levels) == ranged
            or not np.isfinite(np.array(column.quantiles, dtype=np.float64)).all()
        ):
            raise ValueError(f"column {shown(column.name)} is not described as one")
        return column


@dataclass(frozen=True)
class LeftOut:
    """A column that no model should read, and why."""

    name: str
    reason: str


def find(name: str, column: pd.Series[Any], keep_running: bool = False) -> Column | LeftOut:
    """What a column of the training table is.

    Args:
        name: of the column.
        column: its values.
        keep_running: whether a running number is a number; else it is an identifier.

    Raises:
        TableError: it has numbers beyond `LARGEST`.
    """
    found = _find(name, column)
    if isinstance(found, Column) and found.kind == "number" and not keep_running and not found.missing:
        values = read(found, column)
        if _running(values):
            return LeftOut(name, f"identifier: a running number from {values.min():.0f} to {values.max():.0f}")
    return found


def read(column: Column, values: pd.Series[Any]) -> Floats:
    """A column of a later table, float64 [N]: numbers, truth values as 0 and 1, dates as POSIX seconds, NaN where missing.

    Of a category: the position of the level among `levels`, their number where the value is missing, −1 where it is unseen.

    Raises:
        TableError: a value is of another kind than in the training table; it names the value and its row.
    """
    if column.kind == "category":
        return _codes(column, values)
    if column.kind == "boolean":
        return _read_truths(column, values)
    how, gone = cells.storage(values), cells.missing(values)
    if column.kind == "number" and how in ("number", "boolean"):
        return cells.floats(values)
    if column.kind == "date" and how == "moment":
        return cells.moments(values)
    written = [None if text in column.words else text for text in cells.texts(values)]
    if how != "text":  # numbers for dates or dates for numbers
        found = np.full(len(values), np.nan)
    elif column.kind == "number":
        plain = [None if text is None else numerals.plain(text) for text in written]
        found = numerals.numbers(plain, column.notation or ".")
    else:
        found = _read_dates(column, written)
    bad = np.isnan(found) & np.array([text is not None for text in written], dtype=bool) & ~gone
    if bad.any():
        raise _other_kind(column, values, int(bad.argmax()))
    return found


def foreign(column: Column, values: pd.Series[Any]) -> tuple[str, ...]:
    """The texts, each once, that are of another kind than the column, as far as one more than `WORDS` of them."""
    found: list[str] = []
    for text in dict.fromkeys(cells.texts(values)):
        try:
            read(column, pd.Series([text], dtype=object))
        except TableError:
            found.append(str(text))
            if len(found) > WORDS:
                break
    return tuple(found)


def percentiles(values: Floats) -> tuple[float, ...]:
    """The percentiles 0 to 100."""
    return tuple(np.quantile(values, np.linspace(0, 1, 101)).tolist())


def _find(name: str, column: pd.Series[Any]) -> Column | LeftOut:
    how = cells.storage(column)
    if cells.missing(column).all():
        return LeftOut(name, "no values")
    if how == "number":
        return _number(name, cells.floats(column))
    if how == "boolean":
        return _boolean(name, cells.truths(column), {1.0: "True", 0.0: "False"})
    if how == "moment":
        return _date(name, cells.moments(column))
    return _of_text(name, cells.texts(column), column)


def _of_text(name: str, texts: list[str | None], column: pd.Series[Any]) -> Column | LeftOut:
    counts = Counter(text for text in texts if text is not None)
    distinct = list(counts)
    if {numerals.plain(text).lower() for text in distinct} in _PAIRS:
        spelling = {
            float(cells.TRUTH[numerals.plain(text).lower()]): text for text, _ in reversed(counts.most_common())
        }
        return _boolean(name, cells.truths(column), spelling)
    notation, words = _number_notation(counts)
    if notation is not None:
        plain = [None if text is None or text in words else numerals.plain(text) for text in texts]
        return _number(name, numerals.numbers(plain, notation), notation, words)
    words = _words(counts, [text for text in distinct if not any(sign.isnumeric() for sign in text)])
    form = dates.date_format([text for text in distinct if text not in words])
    if form == dates.AMBIGUOUS:
        return LeftOut(
            name, "dates that may be day/month or month/day in every row: write them as 2024-03-01 to have them used"
        )
    if form is not None:
        return _date(name, dates.seconds([None if text in words else text for text in texts], form), form, words)
    return _category(name, counts, len(texts))


def _number(name: str, values: Floats, notation: str = "", words: tuple[str, ...] = ()) -> Column | LeftOut:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return LeftOut(name, "no values that are finite numbers")
    beyond = np.isfinite(values) & (np.abs(values) > LARGEST)
    if beyond.any():
        row = int(beyond.argmax())
        raise TableError(
            f"column {shown(name)} holds {values[row]:g} in row {row + 1}, and numbers beyond {LARGEST:g} cannot be used: "
            "give it in another unit, or leave the value empty"
        )
    missing = len(values) - finite.size
    if not missing and _constant(finite):
        return LeftOut(name, f"constant: {finite[0]:g} in every row")
    return Column(name, "number", missing, percentiles(finite), notation=notation, words=words)


def _date(name: str, values: Floats, form: str = "", words: tuple[str, ...] = ()) -> Column | LeftOut:
    found = values[~np.isnan(values)]
    if not found.size:
        return LeftOut(name, "no dates in the years 1 to 9999")
    missing = len(values) - found.size
    if not missing and _constant(found):
        return LeftOut(name, f"constant: {dates.written(found[0])} in every row")
    return Column(name, "date", missing, percentiles(found), notation=form, words=words)


def _boolean(name: str, values: Floats, spelling: Mapping[float, str]) -> Column | LeftOut:
    counts = Counter(spelling[value] for value in values[~np.isnan(values)].tolist())
    missing = int(np.isnan(values).sum())
    if len(counts) == 1 and not missing:
        return LeftOut(name, f"constant: {next(iter(counts))} in every row")
    return Column(name, "boolean", missing, levels=dict(counts.most_common()))


def _category(name: str, counts: Counter[str], rows: int) -> Column | LeftOut:
    known = counts.total()
    if len(counts) == 1 and known == rows:
        return LeftOut(name, f"constant: {shown(next(iter(counts)))} in every row")
    if len(counts) == known and known > 1:
        return LeftOut(name, f"identifier: all {known:,} values differ")
    longest = max(map(len, counts))
    if longest > LONGEST_LEVEL:
        return LeftOut(name, f"free text: up to {longest:,} characters long")
    if sum(count for count in counts.values() if count > 1) < known / 2:
        return LeftOut(name, f"free text: {len(counts):,} different values in {known:,} rows")
    levels = sorted(counts.items(), key=lambda level: (-level[1], level[0]))[:LEVELS]
    return Column(name, "category", rows - known, levels=dict(levels))


def _number_notation(counts: Counter[str]) -> tuple[str | None, tuple[str, ...]]:
    plain = [numerals.plain(text) for text in counts]
    found = numerals.notation(plain)
    if found is not None or len(counts) <= _FEWEST_NUMBERS:
        return found, ()
    others: list[str] = []
    for text, tidy in zip(counts, plain, strict=True):
        if numerals.notation([tidy]) is None:
            others.append(text)
            if len(others) > WORDS:
                return None, ()
    words = _words(counts, others)
    return numerals.notation(numerals.plain(text) for text in counts if text not in words), words


def _words(counts: Counter[str], others: Sequence[str]) -> tuple[str, ...]:
    # what may stand for a missing value: few words, in few rows, beside many other values
    few = len(others) <= WORDS and sum(counts[text] for text in others) <= _WORD_SHARE * counts.total()
    return tuple(others) if few and len(counts) - len(others) >= _FEWEST_NUMBERS else ()


def _codes(column: Column, values: pd.Series[Any]) -> Floats:
    places = {level: place for place, level in enumerate(column.levels)}
    gone = len(places)
    return np.array([gone if text is None else places.get(text, -1) for text in cells.texts(values)], dtype=np.float64)


def _read_truths(column: Column, values: pd.Series[Any]) -> Floats:
    found, gone = cells.truths(values), cells.missing(values)
    neither = np.isnan(found) & ~gone
    if neither.any() and neither.sum() == (~gone).sum():
        raise _other_kind(column, values, int(neither.argmax()))
    return found


def _read_dates(column: Column, written: list[str | None]) -> Floats:
    distinct = list(dict.fromkeys(text for text in written if text is not None))
    form = column.notation or dates.date_format(distinct)
    if form is None or form == dates.AMBIGUOUS:
        return np.full(len(written), np.nan)
    return dates.seconds(written, form)


def _other_kind(column: Column, values: pd.Series[Any], row: int) -> TableError:
    kinds = {"number": "numbers", "date": "dates", "boolean": f"only {' and '.join(column.levels)}"}
    form = f" written as {column.notation}" if column.kind == "date" and column.notation else ""
    return TableError(
        f"column {shown(column.name)} holds {kinds[column.kind]}{form} in the training table, and here "
        f"{shown(values.iloc[row])} in row {row + 1}: correct it, or leave it empty",
        row=row + 1,
    )


def _constant(values: Floats) -> bool:
    # not std == 0: that of a thousand times 0.1 is 1e-17
    return bool(np.ptp(values) <= 1e-12 * np.abs(values).max())


def _running(values: Floats) -> bool:
    # distinct whole numbers that fill at least half of their range: by chance there would be repetitions
    if len(values) < _RUNNING or (values != np.round(values)).any():
        return False
    low, high = values.min(), values.max()
    if low >= _YEARS[0] and high <= _YEARS[1]:
        return False
    return bool(high - low < 2 * len(values)) and len(np.unique(values)) == len(values)


_PAIRS = [{word, other} for word, other in zip(list(cells.TRUTH)[::2], list(cells.TRUTH)[1::2], strict=True)]
