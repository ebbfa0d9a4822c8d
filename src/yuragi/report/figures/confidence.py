"""Figures of how sure a model is of its classes, and of how often it is right then."""

from __future__ import annotations

import numpy as np
import torch

from yuragi import metrics
from yuragi.report.figures.parts import (
    FIRST,
    MUTED,
    POINTS,
    SECOND,
    Figure,
    Table,
    bars,
    dashed,
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
from yuragi.report.rows import ClassRows
from yuragi.report.subject import Flags, Floats, sampled
from yuragi.report.words import Words

BINS = 10
SURE = 0.9
_CURVE = 300  # points of the risk–coverage curve


def reliability(words: Words, rows: ClassRows) -> Figure:
    """Accuracy against confidence."""
    probs, y = torch.as_tensor(rows.probs[rows.known]), torch.as_tensor(rows.y[rows.known])
    curve = metrics.reliability_curve(probs, y, BINS)
    ece = metrics.expected_calibration_error(probs, y, BINS)
    confidence, accuracy, share = (one.numpy() for one in (curve.confidence, curve.accuracy, curve.share))
    count = np.round(share * len(y)).astype(int)
    largest = int(share.argmax())
    # twice the standard error of a share of so many rows
    error = 1.96 * np.sqrt(confidence * (1 - confidence) / np.maximum(count, 1))
    trace = line(rounded(confidence), rounded(accuracy), words("legend.observed"), FIRST, mode="lines+markers")
    trace["marker"] = {"size": rounded(7 + 18 * np.sqrt(share)), "color": FIRST}
    trace["cliponaxis"] = False
    trace["customdata"] = count.tolist()
    trace["hovertemplate"] = hover(
        words,
        f"{plain(words('axis.confidence'))}: %{{x:.1%}}",
        f"{plain(words('axis.accuracy'))}: %{{y:.1%}}",
        f"{plain(words('axis.rows'))}: %{{customdata}}",
        row=False,
    )
    trace["error_y"] = {"type": "data", "array": rounded(error, 3), "color": FIRST, "thickness": 1, "width": 3}
    unit = {"tickformat": ".0%", "range": [0, 1.02]}
    return Figure(
        "reliability",
        words("reliability.title"),
        words("reliability.says", ece=words.percent(ece, 1)),
        words(
            "reliability.alt",
            ece=words.percent(ece, 1),
            confidence=words.percent(confidence[largest], 1),
            accuracy=words.percent(accuracy[largest], 1),
        ),
        [dashed([0, 1], [0, 1], words("legend.perfect")), trace],
        layout(words("axis.confidence"), words("axis.accuracy"), xaxis=unit, yaxis=dict(unit)),
        Table(
            (words("axis.confidence"), words("axis.accuracy"), words("axis.rows")),
            [
                (words.percent(c, 1), words.percent(a, 1), words.count(int(n)))
                for c, a, n in zip(confidence, accuracy, count, strict=True)
            ],
        ),
    )


def confidence_and_accuracy(words: Words, rows: ClassRows) -> Figure:
    """Histogram of the confidence, of right and of wrong answers."""
    known = rows.known
    confidence, right = rows.confidence[known], rows.right[known]
    low = 1 / rows.probs.shape[1]
    centres, edges, of_right = histogram(confidence[right], low, 1, 20)
    _, _, of_wrong = histogram(confidence[~right], low, 1, 20)
    sure = confidence >= SURE
    return Figure(
        "confidence",
        words("confidence.title"),
        words(
            "confidence.says",
            right=words.percent(_mean(confidence, right)),
            wrong=words.percent(_mean(confidence, ~right)),
        ),
        words(
            "confidence.alt",
            count=words.count(int((~right).sum())),
            rows=words.count(len(right)),
            sure=words.count(int((sure & ~right).sum())),
        ),
        [
            _histogram_bars(words, centres.tolist(), of_wrong.tolist(), words("legend.wrong"), SECOND, "/"),
            _histogram_bars(words, centres.tolist(), of_right.tolist(), words("legend.right"), FIRST, ""),
        ],
        layout(
            words("axis.confidence"),
            words("axis.rows"),
            barmode="stack",
            bargap=0.05,
            xaxis={"tickformat": ".0%", "range": [low, 1]},
        ),
        Table(
            (words("axis.confidence"), words("legend.right"), words("legend.wrong")),
            [
                (f"{words.percent(a)} – {words.percent(b)}", words.count(int(r)), words.count(int(w)))
                for a, b, r, w in zip(edges[:-1], edges[1:], of_right, of_wrong, strict=True)
            ],
        ),
    )


def probability_of_truth(words: Words, rows: ClassRows) -> Figure:
    """Histogram of the probability that the true class was given."""
    y = rows.y[rows.known]
    given = rows.probs[rows.known][np.arange(len(y)), y]
    centres, edges, counts = histogram(given, 0, 1, 20)
    return Figure(
        "truth",
        words("truth.title"),
        words("truth.says"),
        words(
            "truth.alt",
            median=words.percent(float(np.median(given)), 1),
            low=words.percent(float((given < 0.1).mean()), 1),
        ),
        [
            _histogram_bars(
                words, centres.tolist(), counts.tolist(), words("axis.rows"), FIRST, "", words("axis.probability")
            )
        ],
        layout(
            words("axis.probability"),
            words("axis.rows"),
            bargap=0.05,
            showlegend=False,
            xaxis={"tickformat": ".0%", "range": [0, 1]},
        ),
        Table(
            (words("axis.probability"), words("axis.rows")),
            [
                (f"{words.percent(a)} – {words.percent(b)}", words.count(int(n)))
                for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
            ],
        ),
    )


def risk_and_coverage(words: Words, rows: ClassRows) -> Figure:
    """Share of errors among the surest answers."""
    wrong = torch.as_tensor(~rows.right[rows.known])
    doubt = torch.as_tensor(1 - rows.confidence[rows.known])
    curve = metrics.risk_coverage_curve(wrong, doubt)
    area = metrics.aurc(wrong, doubt)
    used, risk = curve.coverage.numpy(), curve.risk.numpy()
    thin = np.unique(np.linspace(0, len(used) - 1, min(len(used), _CURVE)).round().astype(int))
    table = []
    for share in (0.1, 0.25, 0.5, 0.75, 0.9, 1.0):
        index = max(0, round(share * len(used)) - 1)
        table.append((words.percent(share), words.percent(float(risk[index]), 1)))
    trace = line(rounded(used[thin]), rounded(risk[thin]), words("legend.model"), FIRST)
    trace["hovertemplate"] = hover(
        words, f"{plain(words('axis.used'))}: %{{x:.0%}}", f"{plain(words('axis.risk'))}: %{{y:.1%}}", row=False
    )
    return Figure(
        "risk",
        words("risk.title"),
        words("risk.says", all=table[-1][1], half=table[2][1]),
        words(
            "risk.alt",
            pairs=", ".join(words("risk.pair", used=used_share, risk=left) for used_share, left in table),
            area=words.number(area, 3),
        ),
        [dashed([0, 1], rounded([risk[-1], risk[-1]]), words("legend.random")), trace],
        layout(
            words("axis.used"),
            words("axis.risk"),
            xaxis={"tickformat": ".0%", "range": [0, 1]},
            yaxis={"tickformat": ".1~%", "rangemode": "tozero"},
        ),
        Table((words("axis.used"), words("axis.risk")), table),
    )


def two_kinds_of_doubt(words: Words, rows: ClassRows, seed: int) -> Figure:
    """Mutual information against entropy."""
    shown = sampled(len(rows.entropy), POINTS, seed)
    known, right = rows.known[shown], rows.right[shown]
    traces = []
    for chosen, name, colour, symbol in (
        (known & right, words("legend.right"), FIRST, "circle"),
        (known & ~right, words("legend.wrong"), SECOND, "diamond"),
        (~known, words("legend.rows"), MUTED, "square"),
    ):
        if chosen.any():
            at = shown[chosen]
            trace = markers(rounded(rows.entropy[at]), rounded(rows.mutual_information[at]), name, colour, symbol)
            trace["customdata"] = row_numbers(at)
            trace["hovertemplate"] = hover(
                words,
                f"{plain(words('axis.entropy'))}: %{{x:.3f}}",
                f"{plain(words('axis.information'))}: %{{y:.3f}}",
            )
            traces.append(trace)
    entropy, information = (float(np.median(one)) for one in (rows.entropy, rows.mutual_information))
    return Figure(
        "entropy",
        words("entropy.title"),
        words("entropy.says"),
        words(
            "entropy.alt",
            entropy=words.number(entropy, 3),
            information=words.number(information, 3),
            largest=words.number(float(rows.mutual_information.max()), 3),
        ),
        traces,
        layout(words("axis.entropy"), words("axis.information"), yaxis={"rangemode": "tozero"}),
        Table(
            (words("axis.share"), words("axis.entropy"), words("axis.information")),
            [
                (
                    words.percent(share / 100),
                    words.number(float(np.percentile(rows.entropy, share)), 3),
                    words.number(float(np.percentile(rows.mutual_information, share)), 3),
                )
                for share in (10, 25, 50, 75, 90, 100)
            ],
        ),
        shown_note(words, len(shown), len(rows.entropy)),
    )


def confidences(words: Words, rows: ClassRows) -> Figure:
    """Histogram of the confidence, for a table without true classes."""
    low = 1 / rows.probs.shape[1]
    centres, edges, counts = histogram(rows.confidence, low, 1, 20)
    return Figure(
        "sure",
        words("sure.title"),
        words("sure.says"),
        words(
            "sure.alt",
            median=words.percent(float(np.median(rows.confidence)), 1),
            sure=words.percent(float((rows.confidence > SURE).mean()), 1),
        ),
        [_histogram_bars(words, centres.tolist(), counts.tolist(), words("axis.rows"), FIRST, "")],
        layout(
            words("axis.confidence"),
            words("axis.rows"),
            bargap=0.05,
            showlegend=False,
            xaxis={"tickformat": ".0%", "range": [low, 1]},
        ),
        Table(
            (words("axis.confidence"), words("axis.rows")),
            [
                (f"{words.percent(a)} – {words.percent(b)}", words.count(int(n)))
                for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
            ],
        ),
    )


def _histogram_bars(
    words: Words, x: list[float], y: list[int], name: str, colour: str, pattern: str, axis: str | None = None
) -> dict[str, object]:
    trace = bars(rounded(x), y, name, colour)
    trace["marker"]["pattern"] = {"shape": pattern}
    trace["hovertemplate"] = hover(
        words, f"{plain(axis or words('axis.confidence'))}: %{{x:.0%}}", f"{plain(name)}: %{{y}}", row=False
    )
    return trace


def _mean(values: Floats, chosen: Flags) -> float:
    return float(values[chosen].mean()) if chosen.any() else float("nan")
