"""The HTML report: one file that shows how far the predictions of a model for a table can be trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from yuragi.comparison import Comparison

try:
    from yuragi.files import write_atomically
    from yuragi.report.page import plotly_script, render
    from yuragi.report.sections import contents
    from yuragi.report.subject import Model
    from yuragi.report.words import Words
    from yuragi.tables.errors import TableError, shown
    from yuragi.tables.frames import as_frame
except ModuleNotFoundError as error:
    if error.name not in ("jinja2", "plotly"):
        raise
    raise ModuleNotFoundError(f'a report needs {error.name}: pip install "yuragi[report]"', name=error.name) from error

__all__ = ["write"]


def write(
    model: Model,
    frame: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    lang: str = "en",
    seed: int = 0,
    comparison: Comparison | None = None,
) -> None:
    """Write one self-contained HTML file on the predictions of a model for a table; it loads nothing from a network.

    With the true values of the target in the table it says how good the predictions and their error bars are; without them
    it shows the predictions alone. The same arguments give the same file.

    Args:
        model: a fitted model of a table.
        frame: a table with the model's columns, and its target or not; a target may be missing in some rows.
        path: the file, by custom `*.html`; written whole or not at all.
        lang: "en" or "ja".
        seed: of the draws, and of which rows are shown where all would be too many.
        comparison: of methods on the same target, as `yuragi.tables.compare_table` returns it, for a section of its own.

    Raises:
        ValueError: there is no such language.
        TableError: the table has no rows, or the model cannot read it, or the comparison is of another target.
        OSError: the file cannot be written there.
    """
    words = Words(lang)
    frame = as_frame(frame)
    if not len(frame):
        raise TableError("the table has no rows: there is nothing to report")
    schema, plotly = model.schema, plotly_script()
    if comparison is not None and comparison.settings.get("target") != schema.target.name:
        other = shown(str(comparison.settings.get("target")))
        raise TableError(f"the comparison is of the target {other}, and the model of {shown(schema.target.name)}")
    found = contents(words, model, frame, seed, plotly.version, comparison)
    page = render(words, schema.target.name, len(frame), schema.rows, found, plotly)
    # text from a table may hold halves of characters, which are no UTF-8
    write_atomically(Path(path), page.encode(errors="xmlcharrefreplace"))
