"""What was done, as tables: the model, its settings and how they were chosen, the columns, and this report."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

import yuragi
from yuragi.report.figures.columns import written
from yuragi.report.figures.parts import Table
from yuragi.report.subject import DRAWS, Model
from yuragi.report.words import Words
from yuragi.tables.columns import Column

_COLUMNS = 200
_LEVELS = 5
_CANDIDATES = 50
_TEXT = 200  # characters of a value


def about_model(words: Words, model: Model) -> Table:
    """What the model file says of itself."""
    schema = model.schema
    first = [
        (words("done.target"), schema.target.name),
        (words("done.task"), words(f"task.{schema.task}")),
        (words("done.trained"), words.count(schema.rows)),
    ]
    kept = {name: value for name, value in model.about.items() if name not in ("training_curve", "scores")}
    return Table((words("done.name"), words("done.value")), [*first, *_entries(words, kept)])


def scores(words: Words, model: Model) -> tuple[Table, int] | None:
    """The scores on the rows that the fit held out, and how many these were; None where it kept none."""
    kept = model.about.get("scores")
    if not kept or "model" not in kept:
        return None
    names = list(kept["model"])
    # those of the model, and of each baseline that has the same
    columns = [name for name, of in kept.items() if isinstance(of, Mapping) and set(names) & set(of)]
    rows = [(name, *(_text(words, kept[column].get(name)) for column in columns)) for name in names]
    head = (words("scores.name"), *(words("legend.model") if one == "model" else one for one in columns))
    return Table(head, rows), int(kept.get("rows") or 0)


def settings(words: Words, model: Model) -> Table:
    """How the network was fitted."""
    provenance = model.tabular.bnn.provenance
    kept = {name: value for name, value in provenance.items() if name not in ("candidates", "chosen", "held_out")}
    return Table((words("done.name"), words("done.value")), list(_entries(words, kept)))


def candidates(words: Words, model: Model) -> tuple[Table, int] | None:
    """The settings that held-out data chose from, best first, and how many rows these were; None where there are none."""
    provenance = model.tabular.bnn.provenance
    found: Sequence[Mapping[str, Any]] = provenance.get("candidates") or []
    if not found:
        return None
    names = ("prior", "posterior", "likelihood", "kl_weight", "log_likelihood", "inflation")
    rows = [tuple(_text(words, one.get(name)) for name in names) for one in found[:_CANDIDATES]]
    return Table(tuple(words(f"candidate.{name}") for name in names), rows), int(provenance.get("held_out") or 0)


def columns(words: Words, model: Model) -> tuple[Table, int]:
    """The columns that the model reads, and how many of them the table leaves out."""
    schema = model.schema
    rows = [
        (
            column.name,
            words(f"kind.{column.kind}"),
            words.count(column.missing),
            _range(words, column),
        )
        for column in schema.columns[:_COLUMNS]
    ]
    head = tuple(words(f"done.{name}") for name in ("column", "kind", "missing", "range"))
    return Table(head, rows), max(0, len(schema.columns) - _COLUMNS)


def left_out(words: Words, model: Model) -> Table | None:
    """The columns that the model does not read, and why; None where there are none."""
    found = model.schema.left_out
    if not found:
        return None
    return Table((words("done.column"), words("done.reason")), [(one.name, one.reason) for one in found[:_COLUMNS]])


def about_report(words: Words, frame: pd.DataFrame, scored: int, seed: int, plotly: str) -> Table:
    """Of which table the report is, and what made it."""
    versions = {"yuragi": yuragi.__version__, "Python": platform.python_version(), "plotly.js": plotly}
    versions |= {name: importlib.metadata.version(name) for name in ("torch", "numpy", "pandas")}
    rows = [
        (words("done.rows"), words.count(len(frame))),
        (words("done.scored"), words.count(scored)),
        (words("done.hash"), hashlib.sha256(frame.to_csv(index=False).encode("utf-8", "surrogatepass")).hexdigest()),
        (words("done.draws"), words.count(DRAWS)),
        (words("done.seed"), str(seed)),
        (words("done.versions"), ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]
    return Table((words("done.name"), words("done.value")), rows)


def _range(words: Words, column: Column) -> str:
    if column.levels:
        names = ", ".join(list(column.levels)[:_LEVELS])
        if len(column.levels) <= _LEVELS:
            return names
        return words("done.range.more", names=names, count=words.count(len(column.levels)))
    if not column.quantiles:
        return "–"
    low, high = (written(words, column, column.quantiles[end]) for end in (0, -1))
    return words("done.range.numbers", low=low, high=high)


def _entries(words: Words, values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _entries(words, value, f"{prefix}{name}: ")
        else:
            yield f"{prefix}{name}", _text(words, value)


def _text(words: Words, value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return words.number(value)
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"
