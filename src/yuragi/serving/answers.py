"""From a table to the bytes of an answer: the columns that `yuragi predict` writes, and its notes."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from yuragi.serving.media import Form
from yuragi.serving.rows import refused
from yuragi.tables import TableError, TableModel, write_table

NOTES = "Yuragi-Notes"
"""The head of a CSV answer that holds the notes, as a JSON list of texts in ASCII."""

_LONGEST_HEAD = 4000  # characters: what lies between may refuse heads of more than 8,000


@dataclass(frozen=True)
class Answer:
    """The bytes of an answer, their form, and what else its head says."""

    content: bytes
    form: Form
    headers: dict[str, str] = field(default_factory=dict)


def answer(
    model: TableModel, frame: pd.DataFrame, form: Form, levels: Sequence[float], samples: int, seed: int
) -> Answer:
    """Predict every row of a table.

    Args:
        model: of the table.
        frame: the table.
        form: of the answer: CSV is the table with the predictions as further columns, JSON the predictions alone, each an
            object with these columns, in the order of the rows.
        levels: of the intervals; one: _lower and _upper; several: as `TableModel.predict_table` names them.
        samples: draws.
        seed: of the draws.

    Raises:
        Problem: the model refuses the table (422).
    """
    try:
        notes = model.schema.notes(frame)
        predicted = model.predict_table(frame, levels[0] if len(levels) == 1 else levels, samples, seed)
    except TableError as error:
        raise refused(error, frame, model.schema) from error
    if form == "text/csv":
        text = io.BytesIO()
        write_table(predicted, text)
        return Answer(text.getvalue(), form, {NOTES: _short(notes)} if notes else {})
    added = predicted.iloc[:, frame.shape[1] :]
    document = {"target": model.schema.target.name, "predictions": added.to_dict("records"), "notes": notes}
    return Answer(json.dumps(document, ensure_ascii=False, allow_nan=False).encode(), form)


def _short(notes: Sequence[str]) -> str:
    kept = len(notes)
    while True:
        more = [f"and {len(notes) - kept:,} more"] if kept < len(notes) else []
        text = json.dumps([*notes[:kept], *more])
        if len(text) <= _LONGEST_HEAD or not kept:
            return text
        kept -= 1
