"""`yuragi compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yuragi.cli import console, options, tables
from yuragi.cli.pictures import picture_bytes, picture_kind
from yuragi.cli.progress import bar
from yuragi.files import write_atomically

EXAMPLE = "Example: yuragi compare train.csv --target price --methods svi,ensemble,hmc --budget 5s"


def compare(
    table: options.Table,
    target: Annotated[str, typer.Option("--target", "-t", help="The column to predict.", show_default=False)],
    methods: Annotated[
        str | None, typer.Option(help="Names with commas between; all when left out.", show_default=False)
    ] = None,
    task: Annotated[
        options.TaskName | None, typer.Option(help="As the target says when left out.", show_default=False)
    ] = None,
    budget: Annotated[
        float, typer.Option(parser=options.seconds, metavar="DURATION", help="For each fit: 5s, 1m.")
    ] = "10s",  # type: ignore[assignment]
    splits: Annotated[int, typer.Option(min=1, max=1000, help="How many times rows are held out.")] = 5,
    held_out: Annotated[float, typer.Option(callback=options.part, help="Share of the rows to score.")] = 0.2,
    gap: Annotated[
        float,
        typer.Option(
            callback=options.share, help="Share of the rows in the gap; 0 for no fits with one.", show_default="a third"
        ),
    ] = 1 / 3,
    seed: options.Seed = 0,
    out: Annotated[Path | None, typer.Option(help="A picture.", show_default=False)] = None,
    as_json: options.Json = False,
    encoding: options.Encoding = None,
    delimiter: options.Delimiter = None,
    sheet: options.Sheet = None,
) -> None:
    """Fit several methods to the same rows of a table, and say which predicts best, where that can be told.

    All have one network, one kind of noise and the same time; so this tells methods apart, while `yuragi fit` has settings of
    its own. `--json` is what `yuragi report --compare` reads.
    """
    chosen = _chosen(methods)
    kind = None if out is None else picture_kind(options.a_file(out, "--out"))
    given = tables.read(table, encoding, delimiter, sheet)
    from yuragi.tables import compare_table

    tables.say_notes(given.notes, as_json)
    if not as_json:
        fits = len(chosen) * splits * (2 if gap else 1)
        console.note(f"{fits} fits of {budget:g} s take up to {max(1, round(fits * budget / 60))} min")
    with bar(f"comparing {len(chosen)} methods", quiet=as_json) as report:
        found = compare_table(
            given.frame,
            target,
            chosen,
            task=None if task is None else task.value,
            budget=budget,
            splits=splits,
            held_out=held_out,
            gap=gap,
            seed=seed,
            progress=report,
        )
    if out is not None and kind is not None:
        write_atomically(out, picture_bytes(found.figure(), kind))
    if as_json:
        about = {"notes": given.notes, "sha256": given.sha256, "output": None if out is None else str(out)}
        console.say_json({**found.described(), **about})
        return
    console.say(str(found))
    if out is not None:
        console.say(f"wrote {out}")


def _chosen(methods: str | None) -> list[str]:
    from yuragi.comparison.running import chosen_methods

    try:
        return list(chosen_methods(None if methods is None else [name.strip() for name in methods.split(",")]))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
