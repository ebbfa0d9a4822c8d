"""A text in the report's languages."""

from __future__ import annotations

from typing import NamedTuple


class Text(NamedTuple):
    """One text in both languages; placeholders in braces are the same in both."""

    en: str
    ja: str
