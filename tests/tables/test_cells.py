"""What the cells of a column are, whatever pandas keeps them as."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from yuragi.tables import cells

DAY = datetime.datetime(2024, 3, 1, tzinfo=datetime.UTC).timestamp()


@pytest.mark.parametrize(
    ("column", "storage"),
    [
        (pd.Series([1, 2]), "number"),
        (pd.Series([1, None], dtype="Int8"), "number"),
        (pd.Series([1.5, None], dtype=object), "number"),
        (pd.Series([decimal.Decimal("1.5"), 2]), "number"),
        (pd.Series(pd.to_timedelta([1, 2], unit="s")), "number"),
        (pd.Series([datetime.timedelta(days=10**8)], dtype=object), "number"),
        (pd.Series([True, False]), "boolean"),
        (pd.Series([True, None], dtype="boolean"), "boolean"),
        (pd.Series([True, None], dtype=object), "boolean"),
        (pd.Series([datetime.datetime(2024, 3, 1), pd.NaT]), "moment"),
        (pd.Series([datetime.date(2024, 3, 1), None], dtype=object), "moment"),
        (pd.Series([datetime.time(9, 30)], dtype=object), "moment"),
        (pd.Series(["a", None]), "text"),
        (pd.Series([1, "a"], dtype=object), "text"),
        (pd.Series([True, 1.5], dtype=object), "text"),
        (pd.Series([1, 2], dtype="category"), "text"),
        (pd.Series([1j]), "text"),
        (pd.Series([[1], [2]]), "text"),
    ],
)
def test_storage(column: pd.Series[Any], storage: str) -> None:
    assert cells.storage(column) == storage


def test_missing_values() -> None:
    column = pd.Series([None, np.nan, pd.NaT, pd.NA, "", " \t", "\u3000", "x", 0, False], dtype=object)
    assert cells.missing(column).tolist() == [True] * 7 + [False] * 3


def test_floats() -> None:
    big = datetime.timedelta(days=10**8)  # beyond pandas' own durations
    column = pd.Series([1, 10**400, -(10**400), decimal.Decimal("0.5"), big, None], dtype=object)
    assert np.array_equal(cells.floats(column), [1, np.inf, -np.inf, 0.5, 8.64e12, np.nan], equal_nan=True)
    assert np.array_equal(cells.floats(pd.Series([1, None], dtype="Int64")), [1, np.nan], equal_nan=True)
    assert cells.floats(pd.Series(pd.to_timedelta([90], unit="min"))).tolist() == [5400]


def test_moments_are_utc() -> None:
    day = datetime.datetime(2024, 3, 1)
    tokyo = datetime.timezone(datetime.timedelta(hours=9))
    column = pd.Series(
        [day, day.date(), day.replace(tzinfo=tokyo), datetime.datetime.max.replace(tzinfo=tokyo), None], dtype=object
    )
    expected = [DAY, DAY, DAY - 9 * 3600]
    assert cells.moments(column)[:3].tolist() == expected
    assert cells.moments(column)[3] == pytest.approx(253402300799 - 9 * 3600, abs=1.1)
    assert np.isnan(cells.moments(column)[4])
    zoned = pd.Series(pd.to_datetime(["2024-03-01"])).dt.tz_localize("Asia/Tokyo")
    assert cells.moments(zoned).tolist() == [DAY - 9 * 3600]


def test_truths() -> None:
    column = pd.Series(["Yes", "no", " TRUE", "ｎｏ", "はい", "偽", "maybe", None])
    expected = [1, 0, 1, 0, 1, 0, np.nan, np.nan]
    assert np.array_equal(cells.truths(column), expected, equal_nan=True)
    assert np.array_equal(cells.truths(pd.Series([1.0, 0.0, 2.0])), [1, 0, np.nan], equal_nan=True)
