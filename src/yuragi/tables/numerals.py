"""Numbers written as text: decimal points and commas, thousands separators, units, full-width digits.

How a column writes its numbers is a short text, its `notation`: the decimal sign, then the unit if it has one: ".", ",",
".%", ",€". It is decided for a column as a whole, so that "1.234" is what the other values of the column say it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np

UNITS = ("$", "€", "£", "¥", "₩", "%", "円")
"""What may stand before or behind every number of a column; a percentage keeps its value, 12 for "12%"."""

LONGEST = 1000
"""The most characters of a number; the largest float64 has 309 digits."""

_SPACES = " \u00a0\u202f'’"  # between groups of three digits, in either notation
_PLAIN_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})")
_LEADING_ZERO = re.compile(r"[+-]?0[0-9]+")


def _pattern(decimal: str, group: str) -> re.Pattern[str]:
    whole = "|".join(f"[0-9]{{1,3}}(?:{re.escape(sign)}[0-9]{{3}})+" for sign in [*_SPACES, group])
    decimal = re.escape(decimal)
    digits = rf"(?:(?:{whole}|[0-9]+)(?:{decimal}[0-9]*)?|{decimal}[0-9]+)(?:e[+-]?[0-9]+)?"
    return re.compile(rf"[+-]?(?:{digits}|inf|infinity)", re.IGNORECASE)


_NUMBER = {".": _pattern(".", ","), ",": _pattern(",", ".")}

PATTERNS = {sign: pattern.pattern for sign, pattern in _NUMBER.items()}
"""Regular expressions of whole numbers and fractions without a unit, by their decimal sign; the case does not matter."""

_NOT_IN_PYTHON = {
    decimal: str.maketrans({**dict.fromkeys(_SPACES + group, ""), decimal: "."}) for decimal, group in (".,", ",.")
}


def plain(text: str) -> str:
    """A text as it is compared: without spaces around it, and, unless it is long, in half-width characters.

    Example:
        >>> plain(" １２３％ "), plain("−5")
        ('123%', '-5')
    """
    text = text.strip()
    return (
        text if text.isascii() or len(text) > LONGEST else unicodedata.normalize("NFKC", text).replace("−", "-").strip()
    )


def notation(texts: Iterable[str], default: str = ".") -> str | None:
    """How a column writes its numbers, or None if these are not all numbers.

    A column in which one number has leading zeros ("007", "00501") holds codes, and is no column of numbers.

    Args:
        texts: the values that are not missing, as `plain` gives them.
        default: the decimal sign where the values leave it open, as "1.234" and "12" do.

    Example:
        >>> notation(["1.234", "0,5"]), notation(["1,234", "0.5"]), notation(["3%", "12.5%"]), notation(["7", "x"])
        (',', '.', '.%', None)
    """
    signs, unit = decimals(texts)
    if not signs:
        return None
    return (signs if len(signs) == 1 else default) + unit


def decimals(texts: Iterable[str]) -> tuple[str, str]:
    """The decimal signs with which all texts are numbers, and their unit: ".", ",", ".," where both will do, or "".

    Example:
        >>> decimals(["1.5", "2"]), decimals(["1,5 €"]), decimals(["1.234"]), decimals(["a"])
        (('.', ''), (',', '€'), ('.,', ''), ('', ''))
    """
    texts = list(texts)
    if not texts or any(len(text) > LONGEST for text in texts):
        return "", ""
    unit = next((unit for unit in UNITS if texts[0].startswith(unit) or texts[0].endswith(unit)), "")
    numbers = [_without(text, unit) for text in texts] if unit else texts
    signs = "".join(
        sign
        for sign, pattern in _NUMBER.items()
        if all(text is not None and pattern.fullmatch(text) for text in numbers)
    )
    if signs and any(_LEADING_ZERO.fullmatch(text) for text in numbers if text is not None):
        return "", ""
    return signs, unit if signs else ""


def number(text: str, notation: str) -> float | None:
    """The number that a text is in a notation, or None.

    Example:
        >>> number("1.234,5", ","), number("12%", ".%"), number("abc", ".")
        (1234.5, 12.0, None)
    """
    decimal, unit = notation[:1] or ".", notation[1:]
    digits = _without(text, unit)
    if digits is None or len(digits) > LONGEST or not _NUMBER[decimal].fullmatch(digits):
        return None
    return float(digits.translate(_NOT_IN_PYTHON[decimal]))


def numbers(texts: Iterable[str | None], notation: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The numbers that texts are, float64 [N]; NaN where a text is None or no number."""
    read = (None if text is None else number(text, notation) for text in texts)
    return np.array([np.nan if value is None else value for value in read], dtype=np.float64)


def integers(texts: Iterable[str]) -> bool:
    """Whether all texts are integers of at most 18 digits in their usual form: no zeros or spaces before them."""
    return all(_PLAIN_INTEGER.fullmatch(text) for text in texts)


def _without(text: str, unit: str) -> str | None:
    if not unit:
        return text
    if text.startswith(unit):
        return text[len(unit) :].strip()
    return text[: -len(unit)].strip() if text.endswith(unit) else None
