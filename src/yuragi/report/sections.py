"""The report's sections in order: which figures a table gets, by its target and by whether that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from yuragi.comparison import Comparison
from yuragi.report import done, methods, uncertain, verdict
from yuragi.report.dependence import FEATURES, dependences, influences
from yuragi.report.explain import NeverMet, never_met
from yuragi.report.figures import classes, columns, confidence, errors, predictions, training
from yuragi.report.figures.parts import Figure, Table
from yuragi.report.rows import ClassRows, NumericRows, predicted_classes, predicted_numbers
from yuragi.report.subject import UNSEEN, Model
from yuragi.report.uncertain import UncertainRows
from yuragi.report.verdict import Verdict
from yuragi.report.words import Words

_NOTES = 50
_NOTE = {"above": "notes.above", "below": "notes.below", "unseen": "notes.level", "never missing": "notes.gone"}


@dataclass(frozen=True)
class TitledTable:
    """A table with its heading, or the sentence that stands for an empty one."""

    title: str
    table: Table | None
    says: str = ""


@dataclass(frozen=True)
class Section:
    """A section of the page."""

    name: str
    title: str
    says: str = ""
    figures: Sequence[Figure] = ()
    rows: UncertainRows | None = None
    tables: Sequence[TitledTable] = ()


@dataclass(frozen=True)
class Contents:
    """All that the page shows."""

    verdicts: Sequence[Verdict]
    notes: Sequence[str]
    sections: Sequence[Section] = field(default_factory=tuple)


def contents(
    words: Words, model: Model, frame: pd.DataFrame, seed: int, plotly: str, comparison: Comparison | None = None
) -> Contents:
    """Predict every row of a table and gather what the report says of it, and of a comparison that was made."""
    schema = model.schema
    strange = never_met(schema, frame)
    far = np.zeros(len(frame), dtype=bool)
    for one in strange:
        far |= one.rows
    target = schema.target.name
    rows: NumericRows | ClassRows
    if schema.task == "regression":
        rows = predicted_numbers(model, frame, seed)
        verdicts = verdict.of_numbers(words, rows, far, target)
        sections = _of_numbers(words, model, frame, rows, seed)
        table = uncertain.of_numbers(words, model, frame, rows, seed)
    else:
        rows = predicted_classes(model, frame, seed)
        verdicts = verdict.of_classes(words, rows, far, target)
        sections = _of_classes(words, model, rows, seed)
        table = uncertain.of_classes(words, model, frame, rows)
    says = words("rows.says", count=words.count(len(table.rows)))
    sections += [
        Section("rows", words("section.rows"), says, rows=table),
        *_columns(words, model, frame, rows, seed),
        *([] if comparison is None else [_methods(words, comparison)]),
        _training(words, model),
        _done(words, model, frame, int(rows.known.sum()), seed, plotly),
    ]
    return Contents(verdicts, _notes(words, model, frame, rows, strange), sections)


def _of_numbers(words: Words, model: Model, frame: pd.DataFrame, rows: NumericRows, seed: int) -> list[Section]:
    if not rows.known.any():
        figures = [
            predictions.sorted_predictions(words, model, frame, rows, seed),
            predictions.standard_deviations(words, rows),
        ]
        return [Section("quality", words("section.predictions"), figures=figures)]
    figures = [
        predictions.predicted_and_true(words, model, frame, rows, seed),
        errors.interval_coverage(words, rows),
        errors.calibration(words, rows),
        errors.spread_and_error(words, rows, seed),
        errors.residuals(words, rows, seed),
        predictions.standard_deviations(words, rows),
    ]
    scores = TitledTable(words("scores.title"), verdict.scores_of_numbers(words, rows), _scored(words, rows))
    return [Section("quality", words("section.quality"), figures=figures, tables=[scores])]


def _of_classes(words: Words, model: Model, rows: ClassRows, seed: int) -> list[Section]:
    names = model.schema.classes
    if not rows.known.any():
        figures = [
            confidence.confidences(words, rows),
            classes.predicted_counts(words, rows, names),
            confidence.two_kinds_of_doubt(words, rows, seed),
        ]
        return [Section("quality", words("section.predictions"), figures=figures)]
    figures = [
        confidence.reliability(words, rows),
        confidence.confidence_and_accuracy(words, rows),
        classes.confusion(words, rows, names),
        confidence.probability_of_truth(words, rows),
        confidence.risk_and_coverage(words, rows),
        confidence.two_kinds_of_doubt(words, rows, seed),
    ]
    scores = TitledTable(words("scores.title"), verdict.scores_of_classes(words, rows), _scored(words, rows))
    return [Section("quality", words("section.quality"), figures=figures, tables=[scores])]


def _scored(words: Words, rows: NumericRows | ClassRows) -> str:
    return words("scores.says", rows=words.rows(int(rows.known.sum())))


def _columns(
    words: Words, model: Model, frame: pd.DataFrame, rows: NumericRows | ClassRows, seed: int
) -> list[Section]:
    found = influences(model, frame, seed)
    if not found:
        return []
    top = [one.column for one in found[:FEATURES]]
    figures = [columns.influence(words, model.schema, found, len(top))]
    for number, one in enumerate(dependences(model, frame, top, seed), 1):
        if isinstance(rows, NumericRows):
            figures.append(columns.dependence_of_number(words, one, model.schema.target.name, number))
        else:
            order = np.argsort(-rows.probs.mean(0), kind="stable")
            two = len(model.schema.classes) == 2
            order = np.arange(2) if two else order
            figures.append(columns.dependence_of_classes(words, one, model.schema.classes, order.tolist(), number))
    return [Section("columns", words("section.columns"), figures=figures)]


def _methods(words: Words, comparison: Comparison) -> Section:
    return Section(
        "methods",
        words("section.methods"),
        methods.says(words, comparison),
        figures=[methods.log_likelihoods(words, comparison)],
        tables=[TitledTable(title, table, says) for title, says, table in methods.tables(words, comparison)],
    )


def _training(words: Words, model: Model) -> Section:
    curve = training.curve_of(model)
    if curve is None:
        return Section("training", words("section.training"), words("training.none"))
    return Section("training", words("section.training"), figures=[training.training(words, curve)])


def _done(words: Words, model: Model, frame: pd.DataFrame, scored: int, seed: int, plotly: str) -> Section:
    used, further = done.columns(words, model)
    tables = [
        TitledTable(words("done.this"), done.about_report(words, frame, scored, seed, plotly)),
        TitledTable(words("done.model"), done.about_model(words, model)),
        TitledTable(words("done.settings"), done.settings(words, model)),
    ]
    held_out = done.scores(words, model)
    if held_out is not None:
        says = words("done.scores.says", rows=words.rows(held_out[1]))
        tables.append(TitledTable(words("done.scores"), held_out[0], says))
    chosen = done.candidates(words, model)
    if chosen is not None:
        says = words("done.candidates.says", rows=words.rows(chosen[1]))
        tables.append(TitledTable(words("done.candidates"), chosen[0], says))
    more = words("done.more_columns", count=words.count(further)) if further else ""
    tables.append(TitledTable(words("done.columns"), used, more))
    out = done.left_out(words, model)
    tables.append(TitledTable(words("done.left_out"), out, "" if out else words("done.left_out.none")))
    return Section("done", words("section.done"), tables=tables)


def _notes(
    words: Words, model: Model, frame: pd.DataFrame, rows: NumericRows | ClassRows, strange: Sequence[NeverMet]
) -> list[str]:
    schema, notes = model.schema, []
    target = schema.target.name
    unseen = int((rows.y == UNSEEN).sum()) if isinstance(rows, ClassRows) else 0
    missing = int((~rows.known).sum()) - unseen
    if missing and rows.known.any():
        notes.append(words("notes.missing", rows=words.rows(missing), target=target))
    if unseen:
        notes.append(words("notes.unseen", rows=words.rows(unseen), target=target))
    for one in strange:
        reference = columns.written(words, one.column, one.reference)
        count = words.rows(int(one.rows.sum()))
        notes.append(words(_NOTE[one.kind], column=one.column.name, rows=count, reference=reference))
    used = {target, *(column.name for column in schema.columns), *(column.name for column in schema.left_out)}
    extra = [name for name in frame.columns if name not in used]
    if extra:
        notes.append(words("notes.extra", names=columns.listed(words, extra)))
    if len(notes) > _NOTES:
        return [*notes[:_NOTES], words("notes.more", count=words.count(len(notes) - _NOTES))]
    return notes
