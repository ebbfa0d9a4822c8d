"""How a request is refused: what was wrong and where, for programs and people (problem details, RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

MOST = 20
"""The most faults that one answer lists."""

MEDIA_TYPE = "application/problem+json"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string", "description": "What the status means."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was wrong, and what to do."},
        "errors": {
            "type": "array",
            "maxItems": MOST,
            "items": {
                "type": "object",
                "required": ["message"],
                "properties": {
                    "row": {"type": "integer", "minimum": 1, "description": "Which one, the first being 1."},
                    "column": {"type": "string"},
                    "parameter": {"type": "string", "description": "Of the address, behind its question mark."},
                    "message": {"type": "string"},
                },
            },
        },
    },
}
"""JSON Schema of what is answered."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a request, and where: what is None is not of one row, column or parameter."""

    message: str
    row: int | None = None
    column: str | None = None
    parameter: str | None = None

    def described(self) -> dict[str, Any]:
        """As JSON holds it."""
        where = {"row": self.row, "column": self.column, "parameter": self.parameter}
        return {name: value for name, value in where.items() if value is not None} | {"message": self.message}


class Problem(Exception):
    """A request that is refused.

    Args:
        status: of HTTP.
        detail: what was wrong, and what to do.
        faults: by row and column; more than `MOST` are cut off.
        headers: of the answer.
    """

    def __init__(
        self, status: int, detail: str, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.faults, self.headers = status, detail, faults[:MOST], headers

    def response(self) -> Response:
        """The answer."""
        content: dict[str, Any] = {
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.faults:
            content["errors"] = [fault.described() for fault in self.faults]
        # in ASCII, which any text of a request can be written in
        return Response(json.dumps(content), self.status, self.headers, MEDIA_TYPE)


def faulty(faults: Sequence[Fault]) -> Problem:
    """The problem that a request's contents have such faults, at least one."""
    return Problem(422, f"{faults[0].message}{' (and more)' if len(faults) > 1 else ''}", faults)
