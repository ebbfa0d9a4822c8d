"""`yuragi evaluate`."""

from __future__ import annotations

from yuragi.cli import console, options, scores, tables

EXAMPLE = "Example: yuragi evaluate price.yuragi test.csv"


def evaluate(
    model: options.Model,
    table: options.Table,
    samples: options.Samples = 100,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    as_json: options.Json = False,
    encoding: options.Encoding = None,
    delimiter: options.Delimiter = None,
    sheet: options.Sheet = None,
) -> None:
    """Score a model on a table that has the target, beside what takes no network."""
    place = options.device(device)
    from yuragi.tables import load_table_model

    fitted = load_table_model(model, place)
    given = tables.read_for(fitted, [table], encoding, delimiter, sheet)
    found = fitted.evaluate(given.frame, samples, seed)
    says = scores.verdict(found)
    if as_json:
        console.say_json({"target": fitted.schema.target.name, **found, "verdict": says, "notes": given.notes})
        return
    tables.say_notes(given.notes, as_json)
    scores.print_scores(found, f"{fitted.schema.target.name}, on {found['rows']:,} rows of {table}")
    for one in says:
        console.say(one)
