"""`yuragi predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yuragi.cli import console, options, tables

EXAMPLE = "Example: yuragi predict price.yuragi new.csv -o predicted.csv"


def predict(
    model: options.Model,
    table: options.Table,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="CSV, Parquet or Excel; - for standard output.")
    ] = Path("-"),
    level: Annotated[
        float, typer.Option(callback=options.level, help="Probability that the interval holds the target.")
    ] = 0.9,
    samples: options.Samples = 100,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    as_json: options.Json = False,
    encoding: options.Encoding = None,
    delimiter: options.Delimiter = None,
    sheet: options.Sheet = None,
    output_encoding: Annotated[str, typer.Option(help="Of CSV written; utf-8-sig for Excel.")] = "utf-8",
) -> None:
    """Predict a column for every row of a table: the table with the predictions as further columns.

    For numbers: mean, std, epistemic, aleatoric, and lower and upper end of an interval. For classes: the most probable one,
    the probability of each, entropy and mutual information.
    """
    to_stdout = str(output) == "-"
    if to_stdout and as_json:
        raise typer.BadParameter("--json and the table cannot both go to standard output: give --output a file")
    place = options.device(device)
    if not to_stdout:
        options.a_file(output, "--output")
    from yuragi.tables import load_table_model

    fitted = load_table_model(model, place)
    given = tables.read_for(fitted, table, encoding, delimiter, sheet)
    predicted = fitted.predict_table(given.frame, level, samples, seed)
    tables.write(predicted, output, output_encoding)
    tables.say_notes(given.notes, as_json)
    if as_json:
        added = [str(name) for name in predicted.columns[given.frame.shape[1] :]]
        console.say_json({"output": str(output), "rows": len(predicted), "added": added, "notes": given.notes})
    elif not to_stdout:
        console.say(f"predicted {fitted.schema.target.name} for {len(predicted):,} rows; wrote {output}")
