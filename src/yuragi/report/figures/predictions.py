"""Figures of predictions of a number: what is predicted, and how sure."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from yuragi.report.figures.parts import (
    FIRST,
    POINTS,
    SECOND,
    Figure,
    Table,
    bars,
    dashed,
    groups,
    histogram,
    hover,
    label,
    layout,
    markers,
    plain,
    rounded,
    row_numbers,
    shown_note,
)
from yuragi.report.rows import LEVEL, NumericRows, coverage, intervals
from yuragi.report.subject import Floats, Model, sampled
from yuragi.report.words import Words


def predicted_and_true(words: Words, model: Model, frame: pd.DataFrame, rows: NumericRows, seed: int) -> Figure:
    """True values against predictions, with error bars."""
    known = np.flatnonzero(rows.known)
    shown = known[sampled(len(known), POINTS, seed)]
    lower, upper = intervals(model, frame, shown, LEVEL, seed)
    mean, y = rows.mean[shown], rows.y[shown]
    inside = (lower <= y) & (y <= upper)
    target = label(model.schema.target.name)
    ends = _ends(np.concatenate([mean, y]))
    data = [dashed(ends, ends, words("legend.perfect"))]
    for chosen, name, colour, symbol in (
        (inside, words("legend.inside"), FIRST, "circle"),
        (~inside, words("legend.outside"), SECOND, "diamond"),
    ):
        trace = markers(rounded(y[chosen]), rounded(mean[chosen]), name, colour, symbol)
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": rounded((upper - mean)[chosen], 3),
            "arrayminus": rounded((mean - lower)[chosen], 3),
            "color": colour,
            "thickness": 1,
            "width": 0,
        }
        trace["customdata"] = row_numbers(shown[chosen])
        trace["hovertemplate"] = hover(
            words,
            f"{plain(words('axis.true'))}: %{{x:.4~g}}",
            f"{plain(words('axis.predicted'))}: %{{y:.4~g}} (+%{{error_y.array:.3~g}}, −%{{error_y.arrayminus:.3~g}})",
        )
        data.append(trace)
    covered = words.percent(coverage(rows.pit[known], LEVEL))
    rmse = math.sqrt(float((rows.error[known] ** 2).mean()))
    table = []
    for chosen in groups(rows.mean[known]):
        at = known[chosen]
        table.append(
            (
                f"{words.number(rows.mean[at].min())} – {words.number(rows.mean[at].max())}",
                words.count(len(at)),
                words.number(float(np.sqrt((rows.error[at] ** 2).mean()))),
                words.percent(coverage(rows.pit[at], LEVEL)),
            )
        )
    return Figure(
        "predicted",
        words("predicted.title"),
        words("predicted.says", covered=covered),
        words(
            "predicted.alt",
            low=words.number(rows.mean[known].min()),
            high=words.number(rows.mean[known].max()),
            covered=covered,
            rmse=words.number(rmse),
        ),
        data,
        layout(f"{words('axis.true')}: {target}", words("axis.predicted")),
        Table(
            (words("predicted.from"), words("axis.rows"), words("legend.typical"), words("predicted.covered")), table
        ),
        shown_note(words, len(shown), len(known)),
    )


def sorted_predictions(words: Words, model: Model, frame: pd.DataFrame, rows: NumericRows, seed: int) -> Figure:
    """Predictions in increasing order, with error bars: for a table without true values."""
    shown = sampled(len(rows.mean), POINTS // 3, seed)
    shown = shown[np.argsort(rows.mean[shown], kind="stable")]
    lower, upper = intervals(model, frame, shown, LEVEL, seed)
    mean = rows.mean[shown]
    trace = markers(list(range(1, len(shown) + 1)), rounded(mean), words("axis.predicted"), FIRST)
    trace["error_y"] = {
        "type": "data",
        "symmetric": False,
        "array": rounded(upper - mean, 3),
        "arrayminus": rounded(mean - lower, 3),
        "color": FIRST,
        "thickness": 1,
        "width": 0,
    }
    trace["customdata"] = row_numbers(shown)
    trace["hovertemplate"] = hover(
        words,
        f"{plain(words('axis.predicted'))}: %{{y:.4~g}} (+%{{error_y.array:.3~g}}, −%{{error_y.arrayminus:.3~g}})",
    )
    return Figure(
        "predictions",
        words("sorted.title"),
        words("sorted.says"),
        words(
            "sorted.alt",
            low=words.number(rows.mean.min()),
            high=words.number(rows.mean.max()),
            std=words.number(float(np.median(rows.std)), 3),
        ),
        [trace],
        layout(words("axis.rank"), f"{words('axis.predicted')}: {label(model.schema.target.name)}", showlegend=False),
        Table(
            (words("predicted.from"), words("axis.rows"), words("legend.std")),
            [
                (
                    f"{words.number(rows.mean[one].min())} – {words.number(rows.mean[one].max())}",
                    words.count(int(one.sum())),
                    words.number(float(np.median(rows.std[one])), 3),
                )
                for one in groups(rows.mean)
            ],
        ),
        shown_note(words, len(shown), len(rows.mean)),
    )


def standard_deviations(words: Words, rows: NumericRows) -> Figure:
    """Histograms of the total and of the epistemic standard deviation."""
    high = float(np.percentile(rows.std, 99.5))
    centres, edges, total = histogram(np.minimum(rows.std, high), 0, high, 30)
    _, _, epistemic = histogram(np.minimum(rows.epistemic, high), 0, high, 30)
    traces = []
    for counts, name, colour, pattern in (
        (total, words("legend.std"), FIRST, ""),
        (epistemic, words("legend.epistemic_std"), SECOND, "/"),
    ):
        trace = bars(rounded(centres), counts.tolist(), name, colour)
        trace["marker"]["pattern"] = {"shape": pattern}
        trace["hovertemplate"] = hover(
            words, f"{plain(words('axis.std'))}: %{{x:.3~g}}", f"{plain(words('axis.rows'))}: %{{y}}", row=False
        )
        traces.append(trace)
    return Figure(
        "stds",
        words("stds.title"),
        words("stds.says"),
        words(
            "stds.alt",
            std=words.number(float(np.median(rows.std)), 3),
            epistemic=words.number(float(np.median(rows.epistemic)), 3),
        ),
        traces,
        layout(words("axis.std"), words("axis.rows"), barmode="group", bargap=0.1),
        Table(
            (words("axis.std"), words("legend.std"), words("legend.epistemic_std")),
            [
                (f"{words.number(a, 3)} – {words.number(b, 3)}", words.count(int(t)), words.count(int(e)))
                for a, b, t, e in zip(edges[:-1], edges[1:], total, epistemic, strict=True)
            ],
        ),
    )


def _ends(values: Floats) -> list[float | None]:
    return rounded([values.min(), values.max()])
