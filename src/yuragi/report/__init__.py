"""The HTML report: one file that shows how far the predictions of a model for a table can be trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from yuragi import files
from yuragi.report import page
from yuragi.report.sections import contents
from yuragi.report.subject import Model
from yuragi.report.words import Words

__all__ = ["write"]


def write(model: Model, frame: pd.DataFrame, path: str | os.PathLike[str], *, lang: str = "en", seed: int = 0) -> None:
    """Write one self-contained HTML file on the predictions of a model for a table; it loads nothing from a network.

    With the true values of the target in the table it says how good the predictions and their error bars are; without them
    it shows the predictions alone. The same arguments give the same file.

    Args:
        model: a fitted model of a table.
        frame: a table with the model's columns, and its target or not; a target may be missing in some rows.
        path: the file, by custom `*.html`; written whole or not at all.
        lang: "en" or "ja".
        seed: of the draws, and of which rows are shown where all would be too many.

    Raises:
        ValueError: there is no such language, or the table has no rows.
        TableError: the model cannot read the table.
        ImportError: plotly or jinja2 is missing: `pip install "yuragi[report]"`.
        OSError: the file cannot be written there.
    """
    words = Words(lang)
    if not len(frame):
        raise ValueError("the table has no rows: there is nothing to report")
    script = page.plotly_script()
    shown = contents(words, model, frame, seed, script.version)
    files.write_atomically(Path(path), page.render(words, model, len(frame), shown, script).encode())
