"""What the cells of a column are, whatever pandas keeps them as: missing, numbers, text, truth values, moments."""

from __future__ import annotations

import datetime
import decimal
import numbers
from typing import Any, Literal

import numpy as np
import pandas as pd

from yuragi.tables import dates, numerals

Floats = np.ndarray[Any, np.dtype[np.float64]]

TRUTH = {
    word: truth
    for pair in (("true", "false"), ("yes", "no"), ("t", "f"), ("y", "n"), ("はい", "いいえ"), ("真", "偽"))
    for word, truth in zip(pair, (True, False), strict=True)
}
"""Words for truth values, in lower case."""

Storage = Literal["number", "boolean", "moment", "text"]


def storage(column: pd.Series[Any]) -> Storage:
    """How the values of a column are kept: as numbers, truth values, moments (dates, times), or as text or a mixture."""
    kind = column.dtype
    if isinstance(kind, (pd.CategoricalDtype, pd.StringDtype)):
        return "text"
    if pd.api.types.is_bool_dtype(kind):
        return "boolean"
    if pd.api.types.is_timedelta64_dtype(kind) or _real(kind):
        return "number"
    if pd.api.types.is_datetime64_any_dtype(kind):
        return "moment"
    kinds = {_kind(value) for value in column[~missing(column)]}
    return kinds.pop() if len(kinds) == 1 else "text"


def missing(column: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which values are missing, [N]: None, NaN, NaT, pandas' NA, and text of nothing but spaces."""
    gone = column.isna().to_numpy(dtype=bool)
    if isinstance(column.dtype, pd.StringDtype):
        return gone | (column.fillna("x").str.strip() == "").to_numpy(dtype=bool)
    if pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype):
        gone = gone | np.array([isinstance(value, str) and not value.strip() for value in column], dtype=bool)
    return gone


def texts(column: pd.Series[Any]) -> list[str | None]:
    """The values as text, None where missing: 3.0 and 3 are both "3", and spaces around a text do not count.

    Example:
        >>> texts(pd.Series([3.0, "3 ", True, None, 2.5]))
        ['3', '3', 'True', None, '2.5']
    """
    # what the column has several times is written once
    codes, distinct = _factorized(column)
    written = [_text(value) for value in distinct]
    found = [written[code] if code >= 0 else None for code in codes]
    return [text or None for text in found]


def floats(column: pd.Series[Any]) -> Floats:
    """The values of a column of numbers or truth values, float64 [N]: NaN where missing, durations in seconds."""
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return np.asarray(column.dt.total_seconds(), dtype=np.float64)
    if _real(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        if isinstance(column.dtype, pd.SparseDtype):
            return np.asarray(column, dtype=np.float64)
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    gone = missing(column)
    return np.array([np.nan if no else _float(value) for value, no in zip(column, gone, strict=True)], np.float64)


def moments(column: pd.Series[Any]) -> Floats:
    """The values of a column of dates or times as POSIX seconds in UTC, float64 [N]; NaN where missing."""
    kind = column.dtype
    if isinstance(kind, pd.DatetimeTZDtype):
        return dates.of_stamps(column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
    if isinstance(kind, np.dtype) and kind.kind == "M":
        return dates.of_stamps(column.to_numpy())
    gone = missing(column)
    return np.array([np.nan if no else _moment(value) for value, no in zip(column, gone, strict=True)], np.float64)


def truths(column: pd.Series[Any]) -> Floats:
    """The values as truth, float64 [N]: 1 for what says yes, 0 for what says no, NaN for what is missing or says neither."""
    if storage(column) in ("boolean", "number"):
        values = floats(column)
        return np.where((values == 0) | (values == 1), values, np.nan)
    said = [None if text is None else TRUTH.get(numerals.plain(text).lower()) for text in texts(column)]
    return np.array([np.nan if truth is None else float(truth) for truth in said], dtype=np.float64)


def _real(kind: Any) -> bool:
    return bool(pd.api.types.is_numeric_dtype(kind)) and not pd.api.types.is_complex_dtype(kind)


def _factorized(column: pd.Series[Any]) -> tuple[list[int], list[Any]]:
    if isinstance(column.dtype, pd.StringDtype):
        found, distinct_texts = pd.factorize(column)
        return found.tolist(), list(distinct_texts)
    gone = missing(column)
    places: dict[Any, int] = {}
    distinct: list[Any] = []
    codes = []
    for value, no in zip(column, gone, strict=True):
        if no:
            codes.append(-1)
            continue
        key = (
            value if isinstance(value, str) else (type(value), repr(value))
        )  # 1, 1.0 and True are equal, lists no keys
        code = places.setdefault(key, len(distinct))
        if code == len(distinct):
            distinct.append(value)
        codes.append(code)
    return codes, distinct


def _kind(value: Any) -> Storage:
    if isinstance(value, (bool, np.bool_)):
        return "boolean"
    if isinstance(value, (numbers.Real, decimal.Decimal, datetime.timedelta)):
        return "number"
    if isinstance(value, (datetime.date, datetime.time)):
        return "moment"
    return "text"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else str(number)
    return str(value).strip()


def _float(value: Any) -> float:
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    try:
        return float(value)
    except OverflowError:  # an integer or a fraction beyond 1e308
        return np.inf if value > 0 else -np.inf


def _moment(value: Any) -> float:
    if isinstance(value, datetime.time):
        value = datetime.datetime.combine(datetime.date(1900, 1, 1), value)
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        try:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        except OverflowError:  # within a day of the first or the last moment of the calendar
            return np.nan
    return float(dates.of_stamps(np.array([value], dtype="datetime64[us]"))[0])
