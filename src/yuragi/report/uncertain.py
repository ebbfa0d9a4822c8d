"""The table of the most uncertain rows, and why each is uncertain in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from yuragi.report.explain import Reason, most_uncertain, reasons
from yuragi.report.figures.columns import written
from yuragi.report.rows import LEVEL, ClassRows, NumericRows, intervals
from yuragi.report.subject import Model
from yuragi.report.words import Words

ROWS = 20
_REASONS = 4


@dataclass(frozen=True)
class Cell:
    """A cell: its text, and the number that it is sorted by; None where that is its text, or cannot be known."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class UncertainRow:
    """A row of the table: its cells, and why it is uncertain."""

    cells: tuple[Cell, ...]
    why: tuple[str, ...]


@dataclass(frozen=True)
class UncertainRows:
    """The table: its headings, which of them it is sorted by, its rows, and the heading of the reasons."""

    head: tuple[str, ...]
    sorted_by: int
    rows: tuple[UncertainRow, ...]


def of_numbers(words: Words, model: Model, frame: pd.DataFrame, rows: NumericRows, seed: int) -> UncertainRows:
    """The rows with the largest standard deviation."""
    chosen = most_uncertain(rows.uncertainty, ROWS)
    lower, upper = intervals(model, frame, chosen, LEVEL, seed)
    head = [words(f"rows.{name}") for name in ("row", "predicted", "interval", "std", "epistemic")]
    known = bool(rows.known.any())
    table = []
    for place, (row, found) in enumerate(zip(chosen.tolist(), reasons(model.schema, frame, chosen), strict=True)):
        std, epistemic = float(rows.std[row]), float(rows.epistemic[row])
        low, high = float(lower[place]), float(upper[place])
        cells = [
            Cell(words.count(row + 1), row + 1),
            Cell(words.number(rows.mean[row]), float(rows.mean[row])),
            Cell(f"{words.number(low)} – {words.number(high)}", high - low),
            Cell(words.number(std, 3), std),
            Cell(words.percent((epistemic / std) ** 2 if std else float("nan")), epistemic / std if std else None),
        ]
        if known:
            y = float(rows.y[row])
            cells.append(Cell(words.number(y), y if np.isfinite(y) else None))
        usual = "why.noise" if 2 * epistemic**2 <= std**2 else "why.combination"
        table.append(UncertainRow(tuple(cells), _why(words, found, words(usual))))
    return UncertainRows((*head, words("rows.true")) if known else tuple(head), 3, tuple(table))


def of_classes(words: Words, model: Model, frame: pd.DataFrame, rows: ClassRows) -> UncertainRows:
    """The rows with the largest entropy."""
    chosen = most_uncertain(rows.uncertainty, ROWS)
    classes = model.schema.classes
    names = ["row", "answer", "confidence", "second", "entropy", "epistemic"]
    known = bool((rows.y != -1).any())
    table = []
    for row, found in zip(chosen.tolist(), reasons(model.schema, frame, chosen), strict=True):
        first, second = np.argsort(-rows.probs[row], kind="stable")[:2].tolist()
        entropy, information = float(rows.entropy[row]), float(rows.mutual_information[row])
        share = information / entropy if entropy else float("nan")
        cells = [
            Cell(words.count(row + 1), row + 1),
            Cell(classes[first]),
            Cell(words.percent(rows.probs[row, first], 1), float(rows.probs[row, first])),
            Cell(f"{classes[second]} ({words.percent(rows.probs[row, second], 1)})", float(rows.probs[row, second])),
            Cell(words.number(entropy, 3), entropy),
            Cell(words.percent(share), share if entropy else None),
        ]
        if known:
            y = int(rows.y[row])
            cells.append(Cell(classes[y] if y >= 0 else str(frame[model.schema.target.name].iloc[row])))
        usual = "why.overlap" if 2 * information <= entropy else "why.combination"
        table.append(UncertainRow(tuple(cells), _why(words, found, words(usual))))
    head = [words(f"rows.{name}") for name in (*names, *(["true"] if known else []))]
    return UncertainRows(tuple(head), 4, tuple(table))


def _why(words: Words, found: Sequence[Reason], usual: str) -> tuple[str, ...]:
    if not found:
        return (usual,)
    more = (words("rows.more", count=words.count(len(found) - _REASONS)),) if len(found) > _REASONS else ()
    return (*(_reason(words, one) for one in found[:_REASONS]), *more)


def _reason(words: Words, reason: Reason) -> str:
    counted = reason.kind in ("rare", "missing")
    reference = words.rows(int(reason.reference)) if counted else written(words, reason.column, reason.reference)
    value = written(words, reason.column, reason.value)
    return words(f"why.{reason.kind}", column=reason.column.name, value=value, reference=reference)
