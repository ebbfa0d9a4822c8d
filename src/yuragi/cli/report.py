"""`yuragi report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yuragi.cli import console, options, tables

EXAMPLE = "Example: yuragi report price.yuragi test.csv -o report.html --lang ja"


def report(
    model: options.Model,
    table: options.Table,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file.", show_default=False)],
    lang: Annotated[options.Language, typer.Option(help="English or Japanese.")] = options.Language.en,
    compare: Annotated[
        Path | None,
        typer.Option(
            help="What `yuragi compare --json` wrote, for a section on it.", show_default=False, readable=False
        ),
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    as_json: options.Json = False,
    encoding: options.Encoding = None,
    delimiter: options.Delimiter = None,
    sheet: options.Sheet = None,
) -> None:
    """Write a page that shows how far the predictions for a table can be trusted.

    One HTML file that needs no network; with the true values of the target in the table it says how good the error bars are.
    """
    place = options.device(device)
    options.a_file(output, "--output")
    from yuragi.comparison import Comparison
    from yuragi.report import write
    from yuragi.tables import load_table_model

    fitted = load_table_model(model, place)
    given = tables.read_for(fitted, [table], encoding, delimiter, sheet)
    comparison = None if compare is None else Comparison.read(compare)
    write(fitted, given.frame, output, lang=lang.value, seed=seed, comparison=comparison)
    tables.say_notes(given.notes, as_json)
    if as_json:
        console.say_json({"output": str(output), "rows": len(given.frame), "lang": lang.value, "notes": given.notes})
    else:
        console.say(f"wrote {output}: open it in a browser")
