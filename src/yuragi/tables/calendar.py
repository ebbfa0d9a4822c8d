"""`Calendar`: what a date says besides how late it is, for scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from yuragi.tables.cells import Floats

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DAY, _YEAR = 86400.0, 365.2425

PARTS = (
    *("elapsed", "year", "month", "day of year, sin", "day of year, cos"),
    *_WEEKDAYS,
    *("time of day, sin", "time of day, cos"),
)
"""All parts: POSIX seconds, year, month 1 to 12, the angle of the day in the year, the day of the week, that in the day."""


class Calendar(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Split dates, given as POSIX seconds [N, 1], into parts of the calendar in UTC: [N, parts].

    A day of the week is 1 on that day and 0 on others; the days of a year and the times of a day lie on a circle, so that
    31 December is beside 1 January.

    Example:
        >>> Calendar(["year", "month", "Friday", "time of day, sin"]).transform([[1709272800.0]])  # 2024-03-01 06:00
        array([[2.024e+03, 3.000e+00, 1.000e+00, 1.000e+00]])
    """

    def __init__(self, parts: Sequence[str] = PARTS):
        self.parts = parts

    def fit(self, seconds: Any, y: Any = None) -> Self:
        """Nothing: there is nothing to learn."""
        return self

    def transform(self, seconds: Any) -> Floats:
        """The parts of each date, float64 [N, parts]."""
        seconds = np.asarray(seconds, dtype=np.float64)[:, 0]
        stamps = np.round(seconds * 1e6).astype(np.int64).astype("datetime64[us]")
        days, years, months = (stamps.astype(f"datetime64[{unit}]") for unit in "DYM")
        year_angle = 2 * np.pi * (days - years.astype("datetime64[D]")).astype(np.int64) / _YEAR
        day_angle = 2 * np.pi * np.mod(seconds, _DAY) / _DAY
        weekday = np.mod(days.astype(np.int64) + 3, 7)  # 1 January 1970 was a Thursday
        values = {
            "elapsed": seconds,
            "year": years.astype(np.int64) + 1970.0,
            "month": np.mod(months.astype(np.int64), 12) + 1.0,
            "day of year, sin": np.sin(year_angle),
            "day of year, cos": np.cos(year_angle),
            **{name: (weekday == place).astype(np.float64) for place, name in enumerate(_WEEKDAYS)},
            "time of day, sin": np.sin(day_angle),
            "time of day, cos": np.cos(day_angle),
        }
        return np.stack([values[part] for part in self.parts], axis=1)

    def __sklearn_is_fitted__(self) -> bool:
        """Always: there is nothing to fit."""
        return True


def varying(seconds: Floats) -> list[str]:
    """The parts in which dates differ, given as POSIX seconds [N] without NaN; at least the time elapsed."""
    values = Calendar().transform(seconds[:, None])
    return [part for part, differs in zip(PARTS, np.ptp(values, 0) > 1e-9, strict=True) if differs or part == "elapsed"]
