"""`yuragi info`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from yuragi.cli import console, options

if TYPE_CHECKING:
    from yuragi.files import Contents

EXAMPLE = "Example: yuragi info price.yuragi"
_TEXT = 300  # characters of a value


def info(model: options.Model, as_json: options.Json = False) -> None:
    """Say what a file of yuragi holds: the network, its table, and how it was fitted."""
    from yuragi.files import read

    contents = read(model)
    found = {"file": str(model), **_table(model, contents), **_network(contents)}
    if as_json:
        console.say_json(_finite(found))
        return
    table = Table(show_header=False)
    for _ in range(2):
        table.add_column(overflow="fold")
    for name, value in _entries(found):
        table.add_row(name, value)
    console.results.print(table)


def _network(contents: Contents) -> dict[str, Any]:
    settings = contents.settings
    provenance = settings.get("provenance")
    known = provenance if isinstance(provenance, dict) else {}
    found = {"network": {name: value for name, value in settings.items() if name not in ("provenance", "int8")}}
    for name in ("prior", "posterior", "likelihood"):
        part = settings.get(name)
        kind = part.get("kind") if isinstance(part, dict) else part
        found["network"][name] = known.get(name, kind)
    size = sum(tensor.numel() for tensor in contents.state.values())
    chosen = {name: value for name, value in known.items() if name not in (*found["network"], "candidates", "chosen")}
    return {**found, "numbers": size, "fit": chosen}


def _table(path: Path, contents: Contents) -> dict[str, Any]:
    if "table" not in contents.extra:
        kinds = [name for name in ("sklearn", "tabular") if name in contents.extra]
        return {"holds": "a scikit-learn estimator" if "sklearn" in kinds else "a network"}
    from yuragi.tables import load_table_model

    model = load_table_model(path)
    schema = model.schema
    return {
        "holds": "the model of a table",
        "target": schema.target.name,
        "task": schema.task,
        **({"classes": list(schema.classes)} if schema.classes else {}),
        "features": {column.name: _column(column.kind, column.quantiles, column.levels) for column in schema.columns},
        "left_out": {one.name: one.reason for one in schema.left_out},
        "about": {name: value for name, value in model.about.items() if name != "training_curve"},
    }


def _column(kind: str, quantiles: tuple[float, ...], levels: Mapping[str, int]) -> str:
    from yuragi.tables import dates

    if kind == "number":
        return f"number, {quantiles[0]:g} to {quantiles[-1]:g}"
    if kind == "date":
        return f"date, {dates.written(quantiles[0])} to {dates.written(quantiles[-1])}"
    shown = ", ".join(list(levels)[:5])
    return f"{kind}: {shown}" + (f" and {len(levels) - 5:,} more" if len(levels) > 5 else "")


def _entries(found: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    entries = []
    for name, value in found.items():
        if isinstance(value, dict):
            entries += _entries(value, "" if name == "about" else f"{prefix}{name}: ")
            continue
        if isinstance(value, float):
            text = f"{value:.6g}"
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        text = text if len(text) <= _TEXT else f"{text[:_TEXT]}…"
        entries.append((console.harmless(f"{prefix}{name}"), console.harmless(text)))
    return entries


def _finite(value: Any) -> Any:
    # JSON has no infinity, and a file may have been written by anyone
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
