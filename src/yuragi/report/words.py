"""The report's language: its texts by key, and how it writes numbers, shares, counts and dates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from yuragi.report.texts import TEXTS

LANGUAGES = ("en", "ja")
_NARROW = "\u00a0"  # a number and its unit stay on one line


@dataclass(frozen=True)
class Words:
    """Texts and numbers in one language.

    Args:
        lang: "en" or "ja".

    Raises:
        ValueError: there is no such language.

    Example:
        >>> Words("en")("figure.shown", shown=Words("en").count(1500), rows="20,000")
        '1,500 of 20,000 rows are drawn, chosen at random.'
        >>> Words("en").number(12345.678), Words("en").number(0.00123456), Words("ja").percent(0.9)
        ('12,346', '0.001235', '90%')
    """

    lang: str

    def __post_init__(self) -> None:  # noqa: D105
        if self.lang not in LANGUAGES:
            raise ValueError(f"lang must be one of {', '.join(map(repr, LANGUAGES))}, got {self.lang!r}")

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key, with its placeholders filled in."""
        text = TEXTS[key]
        return (text.en if self.lang == "en" else text.ja).format(**values)

    def number(self, value: float, digits: int = 4) -> str:
        """A number with so many significant digits; very large and very small ones with a power of ten."""
        if not math.isfinite(value):
            return "–"
        size = abs(value)
        if size and not 1e-4 <= size < 1e9:
            mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
            return f"{mantissa}e{int(exponent)}".replace("-", "−")
        decimals = max(0, digits - 1 - math.floor(math.log10(size))) if size else 0
        written = f"{value:,.{decimals}f}"
        if decimals:
            written = written.rstrip("0").rstrip(".")
        return written.replace("-", "−")

    def percent(self, share: float, digits: int = 0) -> str:
        """A share as a percentage."""
        if not math.isfinite(share):
            return "–"
        return f"{100 * share:.{digits}f}{_NARROW if self.lang == 'en' else ''}%"

    def count(self, value: int) -> str:
        """A whole number."""
        return f"{value:,}"

    def rows(self, value: int) -> str:
        """So many rows."""
        return self("rows.one" if value == 1 else "rows.many", count=self.count(value))

    def date(self, seconds: float) -> str:
        """A date, with its time of day unless that is midnight, from POSIX seconds."""
        if not math.isfinite(seconds):
            return "–"
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        midnight = (moment.hour, moment.minute, moment.second) == (0, 0, 0)
        return moment.strftime("%Y-%m-%d" if midnight else "%Y-%m-%d %H:%M")
