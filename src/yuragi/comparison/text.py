"""A comparison as text: tables with a line for each method."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

from yuragi.comparison.paired import CERTAIN, FEWEST, Standing
from yuragi.comparison.scores import Score

if TYPE_CHECKING:
    from yuragi.comparison.result import Comparison

_WIDTH = 100
_TITLES = {
    "scores": "scores",
    "calibration": "calibration",
    "gap": "trained without the middle of the data, and scored there",
    "cost": "cost",
}
_NOTHING = "–"
_LARGE = 1e4


def written(comparison: Comparison) -> str:
    """All of a comparison."""
    lines = [_headline(comparison)]
    for group, title in _TITLES.items():
        scores = [score for score in comparison.scores if score.group == group]
        if scores:
            lines += ["", title, *_aligned(_rows(comparison, scores))]
    lines += ["", *_wrapped(_about_the_best(comparison))]
    fits = len(comparison.sizes) * (2 if any(score.group == "gap" for score in comparison.scores) else 1)
    for method, reason in comparison.skipped.items():
        lines += _wrapped(f"skipped: {method}: {reason}")
    for method, messages in comparison.warned.items():
        lines += _wrapped(f"not converged: {method}, {len(messages)} of {fits} fits: {messages[0]}")
    return "\n".join(lines)


def cell(score: Score, standing: Standing) -> str:
    """A method's mean, with a star where it is the best beyond doubt, and else its difference to the best."""
    mean = number(score, standing.mean)
    if standing.best:
        return f"{mean} *" if standing.clear else mean
    if not math.isfinite(standing.difference):
        return mean
    form = score.difference_form
    difference = _short(standing.difference, f"+{form}")
    error = f" ± {_short(standing.error, form)}" if math.isfinite(standing.error) else ""
    return f"{mean} ({difference}{error})"


def number(score: Score, value: float) -> str:
    """A value of a score, or a dash where there is none."""
    return _short(value, score.form) if math.isfinite(value) else _NOTHING


def _short(value: float, form: str) -> str:
    # decimals of a number in the millions would make a column of a table that wide
    sign = "+" if form.startswith("+") else ""
    return f"{value:{form}}" if abs(value) < _LARGE else f"{value:{sign}.2g}"


def _headline(comparison: Comparison) -> str:
    sizes, settings = comparison.sizes, comparison.settings
    trained, scored = sizes[0]
    budget = settings["budget"]
    parts = [
        _counted(len(comparison.values), "method"),
        f"{_counted(len(sizes), 'split')} of {trained:,} rows trained on and {scored:,} scored",
        settings["likelihood"],
        "as long as each takes" if budget is None else f"{budget:g} s a fit",
    ]
    return "; ".join(parts)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _rows(comparison: Comparison, scores: list[Score]) -> list[list[str]]:
    head = ["method", *(score.label for score in scores)]
    return [
        head,
        *(
            [method, *(cell(score, comparison.standings[score.name][method]) for score in scores)]
            for method in comparison.order
        ),
    ]


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]]


def _about_the_best(comparison: Comparison) -> str:
    brackets = "In brackets the difference to the best mean, which has none, and its standard error over splits."
    if len(comparison.sizes) < FEWEST:
        return f"{brackets} With fewer than {FEWEST} splits none is marked as the best."
    return f"{brackets} * leads each other method by more than {CERTAIN:g} standard errors of their difference."


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ")
