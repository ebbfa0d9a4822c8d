"""Matplotlib pictures of a comparison; `score` takes and returns `ax`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from yuragi.comparison.paired import CERTAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from yuragi.comparison.result import Comparison

# Okabe and Ito's colours, which stay apart for colour-blind readers
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#555555"
_COLUMNS = 3


def score(comparison: Comparison, name: str, ax: Axes) -> Axes:
    """Draw one score of each method: a dot for its mean, and a faint one for each split.

    Where the score has a best value, a bar of ± 2 standard errors of the difference to the best method is around each other
    mean: where it reaches the line through the best mean, these splits do not tell the two apart. The line through a
    coverage is what it should be.

    Args:
        comparison: of which methods.
        name: of the score.
        ax: where to draw.

    Returns:
        `ax`.

    Raises:
        ValueError: there is no such score.
    """
    known = {one.name: one for one in comparison.scores}
    if name not in known:
        raise ValueError(f"score {name!r} is none of {', '.join(known)}")
    methods, found = comparison.order[::-1], comparison.standings[name]
    for place, method in enumerate(methods):
        standing = found[method]
        each = [value for value in comparison.values[method][name] if math.isfinite(value)]
        ax.plot(each, [place] * len(each), "|", color=_GREY, ms=8, alpha=0.5)
        if math.isfinite(standing.mean):
            error = CERTAIN * standing.error if math.isfinite(standing.error) else 0.0
            colour = _ORANGE if standing.clear else _BLUE
            ax.errorbar(standing.mean, place, xerr=error, fmt="o", color=colour, ms=6, capsize=3)
        if standing.best:
            ax.axvline(standing.mean, color=_GREY, lw=1, ls="--")
    if "coverage" in name:
        ax.axvline(int(name.rpartition("_")[2]) / 100, color=_GREY, lw=1, ls="--")
    ax.set_yticks(range(len(methods)), methods)
    ax.set_title(f"{'gap: ' if known[name].group == 'gap' else ''}{known[name].label}", fontsize="medium")
    ax.grid(axis="x", alpha=0.25)
    return ax


def figure(comparison: Comparison) -> Figure:
    """All scores of a comparison, one beside another. Needs `pip install "yuragi[plot]"`.

    Raises:
        ImportError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'a picture needs {error.name}: pip install "yuragi[plot]"', name=error.name
        ) from error
    names = [one.name for one in comparison.scores]
    rows = -(-len(names) // _COLUMNS)
    made = Figure(figsize=(4 * _COLUMNS, rows * (1 + 0.22 * len(comparison.values))), layout="constrained")
    axes = made.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for ax, name in zip(axes, names, strict=False):
        score(comparison, name, ax)
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    return made
