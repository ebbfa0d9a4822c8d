"""A figure of the report, and what all figures are made of: colours by role, marks, text that plotly takes as it is."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from yuragi.report.subject import Flags, Floats
from yuragi.report.words import Words

DIGITS = 5
"""Significant digits of the numbers in a figure."""
POINTS = 1500
"""Points in a scatter plot, at most."""
_LABEL = 22  # characters of a level or column in a picture

# Roles, not colours: the page has a value of each for light and for dark (Okabe and Ito's, apart for colour-blind readers).
FIRST, SECOND, THIRD, FOURTH = "first", "second", "third", "fourth"
MUTED, INNER, OUTER = "muted", "inner", "outer"
TEXT, SURFACE, CELL = "text", "surface", "cell"
SERIES = (FIRST, SECOND, THIRD, FOURTH)
BANDS = ("inner", "second-band", "third-band", "fourth-band")
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "diamond", "square", "triangle-up")


@dataclass(frozen=True)
class Table:
    """A table of text: its column headings and its rows."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Figure:
    """A picture and its words.

    Attributes:
        name: unique in the page.
        title: heading.
        says: the sentence under it, for a reader without statistics.
        alt: what it shows, in words and numbers.
        data, layout: as plotly takes them; a colour is a role, as `FIRST`.
        table: its numbers.
        notes: what it leaves out.
        wide: whether it needs the whole width.
    """

    name: str
    title: str
    says: str
    alt: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
    table: Table
    notes: tuple[str, ...] = ()
    wide: bool = False


def plain(text: str) -> str:
    """Text that plotly shows as it is: it takes some HTML as markup."""
    return html.escape(text, quote=False).replace("\n", " ")


def label(text: str) -> str:
    """The same, shortened to fit beside an axis or into a legend."""
    return plain(text if len(text) <= _LABEL else text[: _LABEL - 1] + "…")


def rounded(values: Iterable[float] | Floats, digits: int = DIGITS) -> list[float | None]:
    """Numbers for a figure: rounded, and None for what is not finite."""
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in np.asarray(values).tolist()]


def layout(x: str, y: str, **more: Any) -> dict[str, Any]:
    """A layout with titled axes; `xaxis` and `yaxis` in `more` add to them."""
    axes = {
        name: {"title": {"text": plain(title)}, **more.pop(name, {})} for name, title in (("xaxis", x), ("yaxis", y))
    }
    return {"showlegend": True, **axes, **more}


def line(x: Any, y: Any, name: str, colour: str, dash: str = "solid", **more: Any) -> dict[str, Any]:
    """A line trace."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "name": plain(name),
        "line": {"color": colour, "dash": dash, "width": 2},
        **more,
    }


def dashed(x: Any, y: Any, name: str) -> dict[str, Any]:
    """A thin dashed line of what would be perfect."""
    return line(x, y, name, MUTED, "dash", hoverinfo="skip") | {"line": {"color": MUTED, "dash": "dash", "width": 1.5}}


def markers(x: Any, y: Any, name: str, colour: str, symbol: str = "circle", **more: Any) -> dict[str, Any]:
    """A trace of points."""
    marker = {"color": colour, "symbol": symbol, "size": 6, "opacity": 0.75}
    return {"type": "scatter", "mode": "markers", "x": x, "y": y, "name": plain(name), "marker": marker, **more}


def band(x: Any, lower: Any, upper: Any, name: str, colour: str, **more: Any) -> dict[str, Any]:
    """A filled band, drawn as one closed outline."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [*x, *reversed(x)],
        "y": [*upper, *reversed(lower)],
        "fill": "toself",
        "fillcolor": colour,
        "line": {"width": 0, "color": colour},
        "name": plain(name),
        "hoverinfo": "skip",
        **more,
    }


def bars(x: Any, y: Any, name: str, colour: str, **more: Any) -> dict[str, Any]:
    """A bar trace."""
    return {"type": "bar", "x": x, "y": y, "name": plain(name), "marker": {"color": colour}, **more}


def row_numbers(rows: np.ndarray[Any, Any]) -> list[int]:
    """Rows as the report counts them, from 1."""
    numbers: list[int] = (rows + 1).tolist()
    return numbers


def hover(words: Words, *lines: str, row: bool = True) -> str:
    """A template of what is shown at the pointer; the row's number is its custom data."""
    first = [f"{plain(words('rows.row'))} %{{customdata}}"] if row else []
    return "<br>".join([*first, *lines]) + "<extra></extra>"


def shown_note(words: Words, shown: int, rows: int) -> tuple[str, ...]:
    """That only some rows are drawn, where that is so."""
    if shown == rows:
        return ()
    return (words("figure.shown", shown=words.count(shown), rows=words.count(rows)),)


def groups(order_by: Floats, most: int = 10) -> list[Flags]:
    """Rows in groups of nearly equal size, the smallest values first: as many as hold 5 rows each, and `most` at most."""
    count = max(1, min(most, len(order_by) // 5))
    rank = np.empty(len(order_by), dtype=np.int64)
    rank[np.argsort(order_by, kind="stable")] = np.arange(len(order_by))
    group = rank * count // max(1, len(order_by))
    return [group == one for one in range(count)]


def histogram(values: Floats, low: float, high: float, bins: int) -> tuple[Floats, Floats, np.ndarray[Any, Any]]:
    """Centres and edges of bins of equal width, and how many values lie in each."""
    if high <= low:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    return (edges[:-1] + edges[1:]) / 2, edges, counts
