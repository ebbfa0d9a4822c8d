"""The OpenAPI document: FastAPI's own, with the rows and predictions of the model, and the ways to be refused."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from yuragi.serving import described, problems
from yuragi.serving.answers import NOTES
from yuragi.serving.limits import Limits
from yuragi.tables import Schema

_REFUSED = {
    400: "It is no JSON, or no table.",
    406: "The answer is wanted in another form than JSON or CSV.",
    408: "It did not arrive in time.",
    413: "It is too large.",
    415: "It is of another form than JSON or CSV, compressed, or in an unknown encoding.",
    422: "A parameter, a column or a value cannot be used, as `errors` says; or it has too many rows.",
    500: "A bug of the server.",
    503: "Too many requests are under way, or it took too long; `Retry-After` says when to try again.",
}


def _named(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The predictions.",
        "content": {"application/json": {"schema": _named("Predictions")}, "text/csv": {"schema": {"type": "string"}}},
        "headers": {
            NOTES: {"schema": {"type": "string"}, "description": "Of a CSV answer: the notes, as a JSON list in ASCII."}
        },
    },
    **{
        status: {"description": what, "content": {problems.MEDIA_TYPE: {"schema": _named("Problem")}}}
        for status, what in _REFUSED.items()
    },
}
"""What `POST /predict` may answer."""


def request(schema: Schema) -> dict[str, Any]:
    """What the document says of the body of `POST /predict`."""
    middle = described.example(schema)
    line = ",".join("" if value is None else str(value) for value in middle.values())
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _named("Rows"), "example": {"rows": [middle]}},
                "text/csv": {"schema": {"type": "string"}, "example": f"{','.join(middle)}\n{line}\n"},
            },
        }
    }


def document(app: FastAPI, schema: Schema, limits: Limits) -> dict[str, Any]:
    """The whole document."""
    found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    found["components"]["schemas"] |= {
        "Row": described.row(schema),
        "Rows": {
            "type": "object",
            "required": ["rows"],
            "properties": {
                "rows": {"type": "array", "items": _named("Row"), "minItems": 1, "maxItems": limits.rows},
            },
            "additionalProperties": False,
        },
        "Prediction": described.prediction(schema),
        "Predictions": {
            "type": "object",
            "required": ["target", "predictions", "notes"],
            "properties": {
                "target": {"type": "string"},
                "predictions": {
                    "type": "array",
                    "items": _named("Prediction"),
                    "description": "In the order of the rows.",
                },
                "notes": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "What is unusual about the rows, and may make their predictions worse.",
                },
            },
        },
        "Problem": problems.SCHEMA,
    }
    return found
