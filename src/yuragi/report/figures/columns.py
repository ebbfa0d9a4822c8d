"""Figures of what the predictions depend on: the influence of columns, and partial dependence on each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from yuragi.report.dependence import Dependence, Influence
from yuragi.report.figures.parts import (
    BANDS,
    DASHES,
    FIRST,
    INNER,
    OUTER,
    SERIES,
    SYMBOLS,
    Figure,
    Table,
    band,
    bars,
    label,
    layout,
    line,
    plain,
    rounded,
)
from yuragi.report.subject import Floats
from yuragi.report.words import Words
from yuragi.tables.columns import Column
from yuragi.tables.schema import Schema

WIDTH = 1.645
"""Standard deviations from the middle to the ends of a 90 % band."""
_BARS = 20
_NAMES = 30


def influence(words: Words, schema: Schema, found: Sequence[Influence], drawn: int) -> Figure:
    """How much each column matters, and which have no picture of their own."""
    top = found[:_BARS]
    at = list(range(len(top)))
    shares = bool(schema.classes)
    pairs = [(one.column.name, words.percent(one.size, 1) if shares else words.number(one.size, 3)) for one in top]
    notes = []
    measured = {one.column.name for one in found}
    left = [one.column.name for one in found[drawn:]]
    left += [column.name for column in schema.columns if column.name not in measured]
    if left:
        notes.append(words("influence.left_out", shown=drawn, names=listed(words, left)))
    if len(found) < len(schema.columns):
        notes.append(
            words(
                "influence.screened",
                measured=words.count(len(found)),
                columns=words.count(len(schema.columns)),
            )
        )
    trace = bars(rounded([one.size for one in top]), at, words("axis.influence"), FIRST, orientation="h")
    trace["hovertemplate"] = "%{y}: %{x:.1%}<extra></extra>" if shares else "%{y}: %{x:.3~g}<extra></extra>"
    return Figure(
        "influence",
        words("influence.title"),
        words("influence.classes.says" if shares else "influence.numbers.says", first=top[0].column.name),
        words("influence.alt", pairs=", ".join(f"{name} {size}" for name, size in pairs)),
        [trace],
        layout(
            words("axis.influence"),
            "",
            showlegend=False,
            xaxis={"tickformat": ".0%" if shares else "", "rangemode": "tozero"},
            yaxis={
                "tickvals": at,
                "ticktext": [label(one.column.name) for one in top],
                "autorange": "reversed",
                "showgrid": False,
            },
        ),
        Table((words("influence.column"), words("axis.influence")), pairs),
        tuple(notes),
    )


def dependence_of_number(words: Words, found: Dependence, target: str, number: int) -> Figure:
    """Mean prediction against one column, with the epistemic and the total band."""
    assert found.total is not None
    mean, epistemic, total = found.mean[:, 0], found.epistemic[:, 0], found.total
    x, axis = _axis(words, found)
    custom = [[a, b] for a, b in zip(rounded(WIDTH * epistemic, 3), rounded(WIDTH * total, 3), strict=True)]
    values = f"{plain(words('axis.predicted'))}: %{{y:.4~g}} ± %{{customdata[0]}} / ± %{{customdata[1]}}"
    template = "%{x}<br>" + values + "<extra></extra>"
    middle = line(x, rounded(mean), words("legend.mean"), FIRST, customdata=custom, hovertemplate=template)
    if found.column.levels:
        data = [
            _whiskers(middle, WIDTH * total, words("legend.total"), OUTER, 14),
            _whiskers(middle, WIDTH * epistemic, words("legend.epistemic"), INNER, 9),
            middle | {"mode": "markers", "marker": {"size": 8, "color": FIRST}},
        ]
    else:
        middle |= {"mode": "lines+markers", "marker": {"size": 4, "color": FIRST}}
        data = [
            _band(x, mean, WIDTH * total, words("legend.total"), OUTER),
            _band(x, mean, WIDTH * epistemic, words("legend.epistemic"), INNER),
            middle,
        ]
    at = [written(words, found.column, value) for value in found.at]
    return Figure(
        f"dependence-{number}",
        words("dependence.title", column=found.column.name),
        words("dependence.numbers.says", column=found.column.name),
        words(
            "dependence.numbers.alt",
            column=found.column.name,
            start=at[0],
            first=words.number(mean[0]),
            end=at[-1],
            last=words.number(mean[-1]),
            low=words.number(mean.min()),
            high=words.number(mean.max()),
            epistemic=words.number(epistemic.max(), 3),
        ),
        data,
        layout(label(found.column.name), f"{words('axis.predicted')}: {label(target)}", xaxis=axis),
        Table(
            (
                found.column.name,
                words("axis.predicted"),
                words("dependence.epistemic"),
                words("dependence.total"),
            ),
            [
                (a, words.number(m), words.number(e, 3), words.number(t, 3))
                for a, m, e, t in zip(at, mean.tolist(), epistemic.tolist(), total.tolist(), strict=True)
            ],
        ),
        _levels_note(words, found),
    )


def dependence_of_classes(
    words: Words, found: Dependence, classes: tuple[str, ...], order: Sequence[int], number: int
) -> Figure:
    """Mean probability of the classes against one column, with the epistemic bands; `order` has the most frequent first."""
    # of two classes one says it all
    drawn = list(order[1:2] if len(classes) == 2 else order[: len(SERIES)])
    x, axis = _axis(words, found)
    data: list[dict[str, Any]] = []
    for place, one in enumerate(drawn):
        mean, spread = found.mean[:, one], WIDTH * found.epistemic[:, one]
        name, colour = label(classes[one]), SERIES[place]
        values = "%{fullData.name}: %{y:.1%} ± %{customdata:.1%}<extra></extra>"  # a name may look like a placeholder
        middle = line(x, rounded(mean), "", colour, DASHES[place]) | {"name": name}
        middle |= {"customdata": rounded(spread, 3), "hovertemplate": "%{x}<br>" + values}
        marker = {"size": 6, "color": colour, "symbol": SYMBOLS[place]}
        if found.column.levels:
            data += [
                _whiskers(middle, spread, words("legend.epistemic"), BANDS[place], 9) | {"showlegend": False},
                middle | {"mode": "markers", "marker": marker | {"size": 9}},
            ]
        else:
            data += [
                _band(x, mean, spread, words("legend.epistemic"), BANDS[place], (0, 1)) | {"showlegend": False},
                middle | {"mode": "lines+markers", "marker": marker},
            ]
    pairs = ", ".join(
        words(
            "dependence.class_range",
            name=classes[one],
            low=words.percent(found.mean[:, one].min()),
            high=words.percent(found.mean[:, one].max()),
        )
        for one in drawn
    )
    notes = _levels_note(words, found)
    if 2 < len(classes) != len(drawn):
        notes += (words("dependence.some_classes", shown=len(drawn), classes=words.count(len(classes))),)
    return Figure(
        f"dependence-{number}",
        words("dependence.title", column=found.column.name),
        words("dependence.classes.says", column=found.column.name),
        words("dependence.classes.alt", column=found.column.name, pairs=pairs),
        data,
        layout(
            label(found.column.name),
            words("axis.probability"),
            xaxis=axis,
            yaxis={"tickformat": ".0%", "range": [0, 1]},
        ),
        Table(
            (found.column.name, *(classes[one] for one in drawn)),
            [
                (
                    written(words, found.column, value),
                    *(
                        f"{words.percent(found.mean[i, one], 1)} ± {words.percent(WIDTH * found.epistemic[i, one], 1)}"
                        for one in drawn
                    ),
                )
                for i, value in enumerate(found.at)
            ],
        ),
        notes,
    )


def written(words: Words, column: Column, value: float | str | None) -> str:
    """A value of a column, as text."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return words.date(value) if column.kind == "date" else words.number(value)


def listed(words: Words, names: Sequence[str]) -> str:
    """Names in a row, of which the first are written."""
    some = ", ".join(names[:_NAMES])
    if len(names) <= _NAMES:
        return some
    return words("names.more", names=some, count=words.count(len(names) - _NAMES))


def _axis(words: Words, found: Dependence) -> tuple[list[Any], dict[str, Any]]:
    if found.column.levels:
        at = list(range(len(found.at)))
        ticks = [label(written(words, found.column, value)) for value in found.at]
        return at, {"tickvals": at, "ticktext": ticks, "range": [-0.5, len(at) - 0.5], "showgrid": False}
    if found.column.kind == "date":
        return [words.date(float(value)) for value in found.at], {"type": "date"}
    return rounded([float(value) for value in found.at]), {}


def _band(
    x: list[Any], mean: Floats, spread: Floats, name: str, colour: str, limits: tuple[float, float] | None = None
) -> dict[str, Any]:
    lower, upper = mean - spread, mean + spread
    if limits is not None:
        lower, upper = np.clip(lower, *limits), np.clip(upper, *limits)
    return band(x, rounded(lower), rounded(upper), name, colour)


def _whiskers(middle: dict[str, Any], spread: Floats, name: str, colour: str, width: int) -> dict[str, Any]:
    # a thick bar at each level takes the place of the band
    return {
        "type": "scatter",
        "mode": "markers",
        "x": middle["x"],
        "y": middle["y"],
        "name": plain(name),
        "marker": {"size": 8, "color": colour, "symbol": "square"},
        "error_y": {"type": "data", "array": rounded(spread, 3), "color": colour, "thickness": width, "width": 0},
        "hoverinfo": "skip",
    }


def _levels_note(words: Words, found: Dependence) -> tuple[str, ...]:
    if not found.levels_left_out:
        return ()
    return (words("dependence.levels", count=words.count(found.levels_left_out)),)
