"""Dates written as text, against the standard library's calendar."""

from __future__ import annotations

import datetime
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yuragi.tables import dates


def posix(*moment: int) -> float:
    return datetime.datetime(*moment, tzinfo=datetime.UTC).timestamp()  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-03-01", (2024, 3, 1)),
        ("2024-03-01 12:30", (2024, 3, 1, 12, 30)),
        ("2024-03-01T12:30:15.5Z", (2024, 3, 1, 12, 30, 15, 500_000)),
        ("2024-03-01T12:30:00+09:00", (2024, 3, 1, 3, 30)),
        ("2024/3/1", (2024, 3, 1)),
        ("2024/03/01 9:05:07", (2024, 3, 1, 9, 5, 7)),
        ("2024年3月1日", (2024, 3, 1)),
        ("2024年3月1日(金)", (2024, 3, 1)),
        ("2024年3月1日 9時05分", (2024, 3, 1, 9, 5)),
        ("２０２４／３／１", (2024, 3, 1)),
        ("2024年3月", (2024, 3, 1)),
        ("25/3/2024", (2024, 3, 25)),
        ("25.03.2024", (2024, 3, 25)),
        ("3/25/2024 1:05 PM", (2024, 3, 25, 13, 5)),
        ("25 Mar 2024", (2024, 3, 25)),
        ("March 25, 2024", (2024, 3, 25)),
        ("25-Mar-24", (2024, 3, 25)),
        ("13:45", (1900, 1, 1, 13, 45)),
        ("0001-01-01", (1, 1, 1)),
        ("9999-12-31 23:59:59", (9999, 12, 31, 23, 59, 59)),
    ],
)
def test_a_date(text: str, moment: tuple[int, ...]) -> None:
    form = dates.date_format([text])
    assert form is not None
    assert form != dates.AMBIGUOUS
    assert dates.seconds([text, None, "x"], form)[0] == posix(*moment)
    assert np.isnan(dates.seconds([text, None, "x"], form)).tolist() == [False, True, True]


@pytest.mark.parametrize(
    "text", ["blue", "2024", "12", "3.5", "1-2", "2024-13-01", "30/2/2024", "a1-2024", "10:99", ""]
)
def test_no_date(text: str) -> None:
    assert dates.date_format([text]) is None


def test_the_column_decides_which_is_the_day() -> None:
    assert dates.date_format(["1/2/2024", "13/2/2024"]) == "%d/%m/%Y"
    assert dates.date_format(["1/2/2024", "2/13/2024"]) == "%m/%d/%Y"
    assert dates.date_format(["1/2/2024"]) == dates.AMBIGUOUS
    assert dates.date_format(["1/1/2024", "2/2/2024"]) not in (None, dates.AMBIGUOUS)  # the same either way
    assert dates.date_format(["13/2/2024", "2/13/2024"]) is None
    late = [f"{day}/{month}/2024" for month in range(1, 13) for day in range(1, 13)]
    assert dates.date_format([*late, "13/1/2024"]) == "%d/%m/%Y"  # beyond the first values looked at


@settings(max_examples=100, deadline=None, derandomize=True)
@given(moment=st.datetimes())
def test_iso_dates_are_read_as_python_writes_them(moment: datetime.datetime) -> None:
    text = moment.isoformat(sep=" ")
    expected = (moment - datetime.datetime(1970, 1, 1)) / datetime.timedelta(seconds=1)
    assert dates.date_format([text]) == "ISO8601"
    assert dates.seconds([text], "ISO8601")[0] == pytest.approx(expected, abs=1e-4)  # float64 at the year 9999


def test_stamps_outside_the_calendar_are_missing() -> None:
    stamps = np.array(["0001-01-01", "0000-12-31", "9999-12-31", "10000-01-01", "NaT"], dtype="datetime64[s]")
    assert np.isnan(dates.of_stamps(stamps)).tolist() == [False, True, False, True, True]
    assert math.isclose(dates.of_stamps(np.array(["1970-01-02"], dtype="datetime64[ns]"))[0], 86400)
