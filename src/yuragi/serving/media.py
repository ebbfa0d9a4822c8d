"""In which form a request is, and in which its answer is to be: JSON or CSV (content negotiation, RFC 9110)."""

from __future__ import annotations

import re
from email.message import Message
from typing import Literal

from starlette.requests import Request

from yuragi.serving.problems import Problem

Form = Literal["application/json", "text/csv"]
FORMS: tuple[Form, ...] = ("application/json", "text/csv")

_CHARSETS = {
    "utf-8": "utf-8-sig",  # which takes the byte order mark off, if there is one
    "us-ascii": "ascii",
    "shift_jis": "cp932",
    "windows-31j": "cp932",
    "cp932": "cp932",
    "iso-8859-1": "cp1252",
    "windows-1252": "cp1252",
}
_QUALITY = re.compile(r"q\s*=\s*([01](?:[.][0-9]{0,3})?)", re.IGNORECASE)


def of_request(request: Request) -> tuple[Form, str | None]:
    """The form of a request's body, and the encoding that its head names; None where it names none.

    Raises:
        Problem: it is of another form or encoding, or compressed (415).
    """
    head = Message()
    head["content-type"] = request.headers.get("content-type", "")
    found = next((form for form in FORMS if form == head.get_content_type()), None)
    if found is None:
        raise Problem(
            415,
            "the request must say what it holds: Content-Type: application/json or text/csv",
            headers={"Accept": ", ".join(FORMS)},
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(
            415, "a compressed request is not read: send it as it is", headers={"Accept-Encoding": "identity"}
        )
    charset = head.get_content_charset()
    if charset is None:
        return found, None
    if charset not in _CHARSETS or (found == "application/json" and charset != "utf-8"):
        raise Problem(415, "the charset of the request is not known: send UTF-8")
    return found, _CHARSETS[charset]


def of_answer(request: Request, given: Form) -> Form:
    """The form that a request wants its answer in: what `Accept` likes most, and where that leaves it open, its own.

    Raises:
        Problem: it wants another (406).

    Example:
        >>> def asked(accept, given):
        ...     return of_answer(Request({"type": "http", "headers": [(b"accept", accept)]}), given)
        >>> asked(b"*/*", "text/csv"), asked(b"text/csv;q=0.5, application/json", "text/csv")
        ('text/csv', 'application/json')
    """
    wanted = ",".join(request.headers.getlist("accept")).strip() or "*/*"
    qualities = {form: _quality(form, wanted) for form in (given, *FORMS)}
    best = max(qualities, key=lambda form: qualities[form])  # the first of those that are equal
    if qualities[best] == 0:
        raise Problem(406, "answers are application/json or text/csv: ask for one of these in Accept")
    return best


def _quality(form: Form, wanted: str) -> float:
    """How much a form is wanted, 0 to 1: by the range that fits it most closely."""
    ranges = [form, f"{form.split('/')[0]}/*", "*/*"]
    found = (len(ranges), 0.0)
    for one in wanted.split(","):
        name, _, parameters = one.partition(";")
        if name.strip().lower() in ranges:
            quality = _QUALITY.search(parameters)
            rank = ranges.index(name.strip().lower())
            if rank < found[0]:
                found = rank, min(1.0, float(quality[1])) if quality else 1.0
    return found[1]
