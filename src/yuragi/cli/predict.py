"""`yuragi predict`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from yuragi.cli import console, options, tables
from yuragi.cli.progress import bar

EXAMPLE = "Example: yuragi predict price.yuragi new.csv -o predicted.csv"


def predict(
    model: options.Model,
    table: options.Tables,
    output: Annotated[
        str,
        typer.Option("--output", "-o", help="CSV, Parquet or Excel; - for standard output; a folder for a file each."),
    ] = "-",
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
    stream: options.Stream = None,
    engine: Annotated[
        options.EngineName, typer.Option(help="ray: each file by a worker of a cluster, into a folder.")
    ] = options.EngineName.local,
) -> None:
    """Predict a column for every row of a table: the table with the predictions as further columns.

    For numbers: mean, std, epistemic, aleatoric, and lower and upper end of an interval. For classes: the most probable one,
    the probability of each, entropy and mutual information.
    """
    to_stdout = output == "-"
    if to_stdout and as_json:
        raise typer.BadParameter("--json and the table cannot both go to standard output: give --output a file")
    place = options.device(device)
    folder = output.endswith(("/", os.sep)) or Path(output).is_dir()
    if not (to_stdout or folder):
        options.a_file(Path(output), "--output")
    if stream is False and (folder or engine == options.EngineName.ray):
        raise typer.BadParameter("a folder, and --engine ray, are written in blocks: leave --in-memory out")
    from yuragi.tables import load_table_model

    fitted = load_table_model(model, place)
    if folder or engine == options.EngineName.ray or tables.in_blocks(table, stream) is not None:
        files, notes = tables.opened(table, encoding, delimiter, sheet, as_json)
        from yuragi.large_tables import predict_files

        with bar(f"predicting {fitted.schema.target.name}", quiet=as_json) as report:
            done = predict_files(
                fitted,
                files,
                output,
                level=level,
                samples=samples,
                seed=seed,
                engine=engine.value,
                output_encoding=output_encoding,
                progress=report,
            )
        rows, added, notes = done.rows, list(done.added), [*notes, *done.notes]
    else:
        given = tables.read_for(fitted, table, encoding, delimiter, sheet)
        predicted = fitted.predict_table(given.frame, level, samples, seed)
        tables.write(predicted, Path(output), output_encoding)
        rows, notes = len(predicted), given.notes
        added = [str(name) for name in predicted.columns[given.frame.shape[1] :]]
    tables.say_notes(notes, as_json)
    if as_json:
        console.say_json({"output": output, "rows": rows, "added": added, "notes": notes})
    elif not to_stdout:
        console.say(f"predicted {fitted.schema.target.name} for {rows:,} rows; wrote {output}")
