"""Dates and times written as text: which format a column has, and the POSIX seconds that its values are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from yuragi.tables.numerals import plain

AMBIGUOUS = "ambiguous"
"""The format of a column that may be day before month or month before day, in every row."""

EARLIEST, LATEST = -62135596800.0, 253402300799.0  # the years 1 to 9999, in seconds

_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y年%m月%d日", "%Y年%m月"),
    *("%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d/%m/%y", "%d.%m.%y", "%d-%m-%y"),
    *("%m/%d/%Y", "%m.%d.%Y", "%m-%d-%Y", "%m/%d/%y", "%m.%d.%y", "%m-%d-%y"),
    *("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y"),
)
_TIMES = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p", "%H時%M分", "%H時%M分%S秒")
_LIKELY = re.compile(r"[0-9]{1,4} ?[-/.年: ] ?[0-9A-Za-z]|[A-Za-z]{3,9}\.? [0-9]|[0-9]時")
_WEEKDAY = re.compile(r"\s*\([日月火水木金土]\)")  # as in 2024年3月1日(金)
_SAMPLE = 50


def date_format(texts: Sequence[str]) -> str | None:
    """The format of a column of dates: "ISO8601", a format of `strftime`, `AMBIGUOUS`, or None if these are no dates.

    "1/2/2024" may be the first of February or the second of January. The column as a whole decides: one "13/1/2024" does.
    Where every row may be either and the two readings differ, nothing is guessed.

    Args:
        texts: the values that are not missing, each once.

    Example:
        >>> date_format(["2024-03-01", "2024-03-01 12:30"]), date_format(["2024年3月1日"]), date_format(["9:30", "18:00"])
        ('ISO8601', '%Y年%m月%d日', '%H:%M')
        >>> date_format(["1/2/2024", "13/2/2024"]), date_format(["1/2/2024", "3/4/2024"]), date_format(["blue"])
        ('%d/%m/%Y', 'ambiguous', None)
    """
    sample = texts[:_SAMPLE]
    if not sample or not all(_LIKELY.search(plain(text)) for text in sample):
        return None
    fitting = [one for one in _candidates(plain(sample[0])) if _all_read(sample, one) and _all_read(texts, one)]
    if not fitting:
        return None
    first = seconds(texts, fitting[0])
    same = all(np.array_equal(seconds(texts, other), first) for other in fitting[1:])
    return fitting[0] if same else AMBIGUOUS


def seconds(texts: Sequence[str | None], form: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The dates that texts are, as POSIX seconds, float64 [N]; NaN where a text is None or no date in the format.

    A date without a time zone is taken as UTC; a time without a date as of 1 January 1900.

    Example:
        >>> seconds(["1/2/1970", None], "%d/%m/%Y").tolist()
        [2678400.0, nan]
    """
    tidy = [None if text is None else _WEEKDAY.sub("", plain(text)) for text in texts]
    if form == "ISO8601":
        tidy = [text if text is not None and _ISO.fullmatch(text) else None for text in tidy]
    stamps = pd.Series(tidy, dtype=object)
    return of_stamps(pd.to_datetime(stamps, format=form, errors="coerce", utc=True).dt.tz_localize(None).to_numpy())


def of_stamps(stamps: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """POSIX seconds of a datetime64 array, to the microsecond; NaN where missing, or outside the years 1 to 9999."""
    whole = stamps.astype("datetime64[s]").astype(np.int64)
    usual = ~np.isnat(stamps) & (whole >= EARLIEST) & (whole <= LATEST)
    ticks = np.where(usual, stamps, np.datetime64("NaT")).astype("datetime64[us]").astype(np.int64)
    return np.where(usual, ticks / 1e6, np.nan)


def written(moment: float) -> str:
    """POSIX seconds as messages write them.

    Example:
        >>> written(0.0), written(3600.5)
        ('1970-01-01', '1970-01-01 01:00:00')
    """
    return str(np.datetime64(int(moment), "s")).replace("T", " ").removesuffix(" 00:00:00")


def _candidates(example: str) -> list[str]:
    if _ISO.fullmatch(example):
        return ["ISO8601"]
    timed = ":" in example or "時" in example
    days = [day for day in _DAYS if all(sign in example for sign in day if not sign.isascii() or sign in "/.")]
    if not timed:
        return days
    return [*_TIMES, *(f"{day} {time}" for day in days for time in _TIMES)]


def _all_read(texts: Sequence[str], form: str) -> bool:
    return not np.isnan(seconds(texts, form)).any()
