"""What the share of targets in their intervals says of error bars, for whoever tells people."""

from __future__ import annotations

import math
from typing import Literal

FEW = 30
"""Rows below which a share says little."""
SLACK = 0.03
"""Of a share: nobody acts on less."""


def judged(covered: float, level: float, rows: int) -> Literal["few", "narrow", "wide", "honest"]:
    """What it says of intervals that should hold `level` that they hold the share `covered` of so many rows.

    Too narrow or wide is more than two standard errors and a slack that nobody would act on; below `FEW` rows, none is.

    Example:
        >>> judged(0.8, 0.9, rows=200), judged(0.8, 0.9, rows=20)
        ('narrow', 'few')
    """
    if rows < FEW:
        return "few"
    slack = SLACK + 2 * math.sqrt(level * (1 - level) / rows)
    if covered < level - slack:
        return "narrow"
    return "wide" if covered > level + slack else "honest"
