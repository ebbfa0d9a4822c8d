"""What rows and answers may hold: for people and programs at `/schema`, and as JSON Schema for OpenAPI."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from yuragi.serving.limits import Limits
from yuragi.serving.rows import is_iso
from yuragi.tables import Column, Schema, dates

_EXAMPLES = 20  # levels of a category that are given as such
_SCALAR = ["string", "number", "boolean", "null"]
_NUMBERS = {
    "mean": "Of the target.",
    "std": "Of the target: std² = epistemic² + aleatoric².",
    "epistemic": "Standard deviation that comes from the weights being unknown, and shrinks with data.",
    "aleatoric": "Standard deviation of the noise.",
    "lower": "End of the interval, where one level is asked for.",
    "upper": "End of the interval, where one level is asked for.",
}


def table(schema: Schema, limits: Limits) -> dict[str, Any]:
    """What `/schema` answers: the columns with their kinds, units, ranges and levels, the target, and the limits."""
    target = _column(schema.target)
    if schema.task == "classification":
        target["levels"] = list(schema.classes)  # in the order of the probabilities
    return {
        "task": schema.task,
        "target": target,
        "columns": [_column(column) for column in schema.columns],
        "left_out": [asdict(one) for one in schema.left_out],
        "answer": list(prediction(schema)["properties"]),
        "limits": {"bytes": limits.body, "rows": limits.rows, "seconds": limits.seconds},
    }


def row(schema: Schema) -> dict[str, Any]:
    """JSON Schema of a row of a JSON request."""
    passed_over = {one.name: one.reason for one in schema.left_out} | {schema.target.name: "the target"}
    return {
        "type": "object",
        "description": "One row: every column that the model reads, null where the value is missing.",
        "required": [column.name for column in schema.columns],
        "properties": {
            **{name: {"description": f"Passed over: {why}."} for name, why in passed_over.items()},
            **{column.name: _value(column) for column in schema.columns},
        },
        "additionalProperties": False,
    }


def prediction(schema: Schema) -> dict[str, Any]:
    """JSON Schema of a prediction of a JSON answer: the columns that `yuragi predict` adds to a row."""
    name = schema.target.name
    if schema.task == "regression":
        properties: dict[str, Any] = {
            f"{name}_{part}": {"type": "number", "description": what} for part, what in _NUMBERS.items()
        }
        required = [f"{name}_{part}" for part in ("mean", "std", "epistemic", "aleatoric")]
        return {
            "type": "object",
            "required": required,
            "properties": properties,
            # of several levels: <target>_lower_0.5 and so on
            "additionalProperties": {"type": "number"},
        }
    probability = {"type": "number", "minimum": 0, "maximum": 1.000001}  # of a sum of many, rounded
    properties = {
        f"{name}_label": {"enum": list(schema.classes), "description": "The most probable class."},
        **{f"{name}_probability_{one}": probability for one in schema.classes},
        f"{name}_entropy": {"type": "number", "description": "Of the probabilities, nats."},
        f"{name}_mutual_information": {
            "type": "number",
            "description": "The part of the entropy that comes from the weights being unknown, nats.",
        },
    }
    return {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": False}


def example(schema: Schema) -> dict[str, Any]:
    """A row in the middle of the training table."""
    return {column.name: _middle(column) for column in schema.columns}


def _column(column: Column) -> dict[str, Any]:
    found: dict[str, Any] = {"name": column.name, "kind": column.kind}
    if column.kind == "number":
        found |= {"unit": column.notation[1:] or None, "range": [column.quantiles[0], column.quantiles[-1]]}
    elif column.kind == "date":
        ends = [dates.written(column.quantiles[place]) for place in (0, -1)]
        found |= {"written": "ISO8601" if is_iso(column) else column.notation, "range": ends}
    else:
        found["levels"] = list(column.levels)
    return found | {"missing": column.missing > 0}


def _value(column: Column) -> dict[str, Any]:
    if column.kind == "number":
        low, high = column.quantiles[0], column.quantiles[-1]
        unit = f", in {column.notation[1:]}" if column.notation[1:] else ""
        said = f"{low:g} to {high:g} in the training table{unit}."
        return {"type": ["number", "null"], "description": said, "examples": [_middle(column)]}
    if column.kind == "boolean":
        return {"enum": [True, False, *column.levels, None]}
    if column.kind == "date":
        first, last = (dates.written(column.quantiles[place]) for place in (0, -1))
        said = f"{first} to {last} in the training table."
        if is_iso(column):
            kinds = [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}, {"type": "null"}]
            return {"anyOf": kinds, "description": said, "examples": [_middle(column)]}
        return {"type": ["string", "null"], "description": f"A date written as {column.notation}; {said}"}
    return {
        "type": _SCALAR,
        "description": "A level that the training table had not is taken as other, and noted.",
        "examples": list(column.levels)[:_EXAMPLES],
    }


def _middle(column: Column) -> Any:
    if column.kind == "number":
        return column.quantiles[50]
    if column.kind == "date":
        return dates.written(column.quantiles[50])[:10] if is_iso(column) else None
    return next(iter(column.levels))
