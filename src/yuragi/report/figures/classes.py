"""Figures of predictions of a class: what is predicted, and what is taken for what."""

from __future__ import annotations

import numpy as np

from yuragi.report.figures.parts import (
    CELL,
    FIRST,
    SURFACE,
    TEXT,
    Figure,
    Table,
    bars,
    label,
    layout,
    plain,
    rounded,
)
from yuragi.report.rows import ClassRows
from yuragi.report.subject import Integers
from yuragi.report.words import Words

CLASSES = 12
"""Classes that are shown apart, at most."""


def confusion(words: Words, rows: ClassRows, classes: tuple[str, ...]) -> Figure:
    """How often each class was taken for which."""
    y, answer = rows.y[rows.known], rows.label[rows.known]
    matrix, names = confusion_matrix(y, answer, classes, words("other"))
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    off = matrix * (1 - np.eye(len(matrix), dtype=int))
    worst = ""
    if off.any():
        true, predicted = np.unravel_index(off.argmax(), off.shape)
        worst = words(
            "confusion.worst",
            true=names[true],
            predicted=names[predicted],
            count=words.count(int(off[true, predicted])),
        )
    at = list(range(len(names)))
    ticks = {"tickvals": at, "ticktext": [label(name) for name in names], "showgrid": False}
    trace = {
        "type": "heatmap",
        "z": [rounded(row) for row in share],
        "customdata": matrix.tolist(),
        "text": [[words.count(int(n)) for n in row] for row in matrix],
        "texttemplate": "%{text}",
        "hovertemplate": "<br>".join(
            [
                f"{plain(words('axis.true_class'))}: {{y}}".replace("{y}", "%{y}"),
                f"{plain(words('axis.predicted_class'))}: %{{x}}",
                f"{plain(words('axis.rows'))}: %{{customdata}} (%{{z:.0%}})<extra></extra>",
            ]
        ),
        "textfont": {"color": TEXT},
        "colorscale": [[0, SURFACE], [1, CELL]],
        "zmin": 0,
        "zmax": 1,
        "xgap": 2,
        "ygap": 2,
        "showscale": False,
    }
    merged = len(classes) > len(names)
    return Figure(
        "confusion",
        words("confusion.title"),
        words("confusion.says"),
        words(
            "confusion.alt",
            classes=words.count(len(classes)),
            right=words.count(int((y == answer).sum())),
            rows=words.count(len(y)),
            worst=worst,
        ).strip(),
        [trace],
        layout(
            words("axis.predicted_class"),
            words("axis.true_class"),
            xaxis=ticks,
            yaxis=ticks | {"autorange": "reversed"},
            showlegend=False,
        ),
        Table(
            (f"{words('axis.true_class')} ＼ {words('axis.predicted_class')}", *names),
            [(name, *(words.count(int(n)) for n in row)) for name, row in zip(names, matrix, strict=True)],
        ),
        (words("confusion.merged", shown=len(names) - 1, classes=words.count(len(classes))),) if merged else (),
    )


def confusion_matrix(
    y: Integers, answer: Integers, classes: tuple[str, ...], other: str
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.int64]], list[str]]:
    """Counts [true, predicted] of the most frequent classes, the rest merged into one, and the names of its rows."""
    if len(classes) <= CLASSES:
        kept, names = np.arange(len(classes)), list(classes)
    else:
        frequent = np.argsort(-np.bincount(y, minlength=len(classes)), kind="stable")[: CLASSES - 1]
        kept = np.sort(frequent)
        names = [*(classes[one] for one in kept), other]
    position = np.full(len(classes), len(names) - 1)
    position[kept] = np.arange(len(kept))
    matrix = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(matrix, (position[y], position[answer]), 1)
    return matrix, names


def predicted_counts(words: Words, rows: ClassRows, classes: tuple[str, ...]) -> Figure:
    """How often each class is the answer."""
    counts = np.bincount(rows.label, minlength=len(classes))
    order = np.argsort(-counts, kind="stable")[:CLASSES]
    names = [classes[one] for one in order]
    at = list(range(len(names)))
    pairs = [(name, words.count(int(counts[one]))) for name, one in zip(names, order, strict=True)]
    trace = bars(counts[order].tolist(), at, words("axis.rows"), FIRST, orientation="h")
    trace["hovertemplate"] = "%{y}: %{x}<extra></extra>"
    return Figure(
        "counts",
        words("counts.title"),
        words("counts.says", first=names[0], share=words.percent(float(counts[order[0]] / len(rows.label)))),
        words("counts.alt", pairs=", ".join(f"{name} {count}" for name, count in pairs)),
        [trace],
        layout(
            words("axis.rows"),
            "",
            showlegend=False,
            yaxis={"tickvals": at, "ticktext": [label(name) for name in names], "autorange": "reversed"},
        ),
        Table((words("axis.predicted_class"), words("axis.rows")), pairs),
        (words("dependence.some_classes", shown=len(names), classes=words.count(len(classes))),)
        if len(classes) > len(names)
        else (),
    )
