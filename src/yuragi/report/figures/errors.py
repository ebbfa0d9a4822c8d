"""Figures of the errors of predictions of a number: whether they are what was predicted."""

from __future__ import annotations

import numpy as np
import torch

from yuragi import metrics
from yuragi.report.figures.parts import (
    FIRST,
    MUTED,
    OUTER,
    POINTS,
    SECOND,
    Figure,
    Table,
    band,
    bars,
    dashed,
    groups,
    histogram,
    hover,
    layout,
    line,
    markers,
    plain,
    rounded,
    row_numbers,
    shown_note,
)
from yuragi.report.rows import LEVEL, LEVELS, NumericRows, coverage
from yuragi.report.subject import Integers, sampled
from yuragi.report.words import Words

_CURVE = tuple(step / 20 for step in range(1, 20))
_BINS = 40


def interval_coverage(words: Words, rows: NumericRows) -> Figure:
    """Share of true values inside the intervals of several levels."""
    pit = rows.pit[rows.known]
    observed = [coverage(pit, level) for level in LEVELS]
    names = [words.percent(level) for level in LEVELS]
    pairs = ", ".join(
        words("coverage.pair", level=name, observed=words.percent(share, 1))
        for name, share in zip(names, observed, strict=True)
    )
    at = list(range(len(LEVELS)))
    promised = markers(at, list(LEVELS), words("legend.promised"), SECOND, "line-ew-open")
    promised["marker"] = {"color": SECOND, "symbol": "line-ew", "size": 34, "line": {"color": SECOND, "width": 3}}
    promised["hovertemplate"] = hover(words, f"{plain(words('legend.promised'))}: %{{y:.0%}}", row=False)
    return Figure(
        "coverage",
        words("coverage.title"),
        words(
            "coverage.says",
            level=words.percent(LEVEL),
            observed=words.percent(observed[LEVELS.index(LEVEL)], 1),
        ),
        words("coverage.alt", pairs=pairs),
        [
            bars(
                at,
                rounded(observed),
                words("legend.observed"),
                FIRST,
                width=0.5,
                hovertemplate=hover(words, f"{plain(words('legend.observed'))}: %{{y:.1%}}", row=False),
            ),
            promised,
        ],
        layout(
            words("axis.level"),
            words("axis.observed"),
            xaxis={"tickvals": at, "ticktext": names},
            yaxis={"tickformat": ".0%", "range": [0, 1.05]},
        ),
        Table(
            (words("legend.promised"), words("legend.observed")),
            [(name, words.percent(share, 1)) for name, share in zip(names, observed, strict=True)],
        ),
    )


def calibration(words: Words, rows: NumericRows) -> Figure:
    """Observed against promised share of true values below the predicted quantiles."""
    pit = torch.as_tensor(rows.pit[rows.known])
    curve = metrics.quantile_calibration_curve(pit, _CURVE)
    expected, observed = curve.expected.numpy(), curve.observed.numpy()
    area = metrics.quantile_calibration_error(pit)
    worst = int(np.abs(observed - expected).argmax())
    # where 19 of 20 shares of so many rows lie by chance alone
    chance = 1.96 * np.sqrt(expected * (1 - expected) / len(pit))
    ends = [0.0, *expected.tolist(), 1.0]
    lower, upper = np.clip(expected - chance, 0, 1), np.clip(expected + chance, 0, 1)
    observed_line = line(
        ends,
        [0.0, *rounded(observed), 1.0],
        words("legend.observed"),
        FIRST,
        mode="lines+markers",
        hovertemplate=hover(
            words,
            f"{plain(words('legend.promised'))}: %{{x:.0%}}",
            f"{plain(words('legend.observed'))}: %{{y:.1%}}",
            row=False,
        ),
    )
    share = {"tickformat": ".0%", "range": [0, 1]}
    return Figure(
        "calibration",
        words("calibration.title"),
        words("calibration.says", area=words.percent(area, 1)),
        words(
            "calibration.alt",
            area=words.number(area, 2),
            gap=words.percent(abs(observed[worst] - expected[worst]), 1),
            expected=words.percent(expected[worst]),
            observed=words.percent(observed[worst], 1),
        ),
        [
            band(
                ends,
                [0.0, *rounded(lower), 1.0],
                [0.0, *rounded(upper), 1.0],
                words("legend.chance"),
                OUTER,
            ),
            dashed([0, 1], [0, 1], words("legend.perfect")),
            observed_line,
        ],
        layout(words("axis.expected"), words("axis.observed"), xaxis=share, yaxis=dict(share)),
        Table(
            (words("axis.expected"), words("axis.observed")),
            [
                (words.percent(e), words.percent(o, 1))
                for e, o in zip(expected.tolist(), observed.tolist(), strict=True)
            ],
        ),
    )


def spread_and_error(words: Words, rows: NumericRows, seed: int) -> Figure:
    """Sizes of the errors against the predicted standard deviations."""
    known = np.flatnonzero(rows.known)
    shown = known[sampled(len(known), POINTS, seed)]
    std, error = rows.std[known], np.abs(rows.error[known])
    parts = groups(std)
    typical = np.array([[np.sqrt((part**2).mean()) for part in (std[one], error[one])] for one in parts])
    points = markers(rounded(rows.std[shown]), rounded(np.abs(rows.error[shown])), words("legend.rows"), MUTED)
    points["customdata"] = row_numbers(shown)
    points["marker"] |= {"size": 5, "opacity": 0.45}
    points["hovertemplate"] = hover(
        words, f"{plain(words('axis.std'))}: %{{x:.3~g}}", f"{plain(words('axis.error'))}: %{{y:.3~g}}"
    )
    line_of_errors = line(
        rounded(typical[:, 0]), rounded(typical[:, 1]), words("legend.typical"), FIRST, mode="lines+markers"
    )
    line_of_errors["hovertemplate"] = hover(
        words, f"{plain(words('axis.std'))}: %{{x:.3~g}}", f"{plain(words('legend.typical'))}: %{{y:.3~g}}", row=False
    )
    ends = [float(std.min()), float(std.max())]
    return Figure(
        "spread",
        words("spread.title"),
        words("spread.says"),
        words(
            "spread.alt",
            low_std=words.number(typical[0, 0], 3),
            low_error=words.number(typical[0, 1], 3),
            high_std=words.number(typical[-1, 0], 3),
            high_error=words.number(typical[-1, 1], 3),
        ),
        [points, dashed(rounded(ends), rounded(ends), words("legend.perfect")), line_of_errors],
        layout(words("axis.std"), words("axis.error"), yaxis={"rangemode": "tozero"}),
        Table(
            (words("spread.group"), words("axis.rows"), words("axis.std"), words("legend.typical")),
            [
                (words.count(i + 1), words.count(int(one.sum())), words.number(s, 3), words.number(e, 3))
                for i, (one, (s, e)) in enumerate(zip(parts, typical.tolist(), strict=True))
            ],
        ),
        shown_note(words, len(shown), len(known)),
    )


def residuals(words: Words, rows: NumericRows, seed: int) -> Figure:
    """Errors against predictions, and their histogram beside."""
    known = np.flatnonzero(rows.known)
    shown: Integers = known[sampled(len(known), POINTS, seed)]
    error = rows.error[known]
    bias = float(error.mean())
    low, high = np.percentile(error, [25, 75]).tolist()
    largest = float(error[np.abs(error).argmax()])
    centres, _, counts = histogram(error, float(error.min()), float(error.max()), _BINS)
    points = markers(rounded(rows.mean[shown]), rounded(rows.error[shown]), words("legend.residual"), FIRST)
    points["customdata"] = row_numbers(shown)
    points["hovertemplate"] = hover(
        words, f"{plain(words('axis.predicted'))}: %{{x:.4~g}}", f"{plain(words('axis.residual'))}: %{{y:.3~g}}"
    )
    beside = bars(counts.tolist(), rounded(centres), words("axis.rows"), MUTED, orientation="h", xaxis="x2")
    beside["hovertemplate"] = hover(
        words, f"{plain(words('axis.residual'))}: %{{y:.3~g}}", f"{plain(words('axis.rows'))}: %{{x}}", row=False
    )
    zero = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 0}
    side = "residuals.above" if bias >= 0 else "residuals.below"
    few = histogram(error, float(error.min()), float(error.max()), 10)
    return Figure(
        "residuals",
        words("residuals.title"),
        words("residuals.says", bias=words.number(abs(bias), 3), side=words(side)),
        words(
            "residuals.alt",
            bias=words.number(bias, 3),
            low=words.number(low, 3),
            high=words.number(high, 3),
            largest=words.number(largest, 3),
        ),
        [points, beside],
        layout(
            words("axis.predicted"),
            words("axis.residual"),
            xaxis={"domain": [0, 0.78]},
            xaxis2={"domain": [0.82, 1], "title": {"text": plain(words("axis.rows"))}, "nticks": 3},
            shapes=[zero | {"line": {"color": MUTED, "dash": "dash", "width": 1.5}}],
            showlegend=False,
            bargap=0.05,
        ),
        Table(
            (words("residuals.bin"), words("axis.rows")),
            [
                (f"{words.number(a, 3)} – {words.number(b, 3)}", words.count(int(n)))
                for a, b, n in zip(few[1][:-1], few[1][1:], few[2], strict=True)
            ],
        ),
        shown_note(words, len(shown), len(known)),
    )
