"""Requests that cannot be answered: the status, the row, the column, and what to do; never how the server is made."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.made_up_tables import model
from tests.serving.asking import CSV, JSON, as_csv, as_json, client, new_rows

from yuragi.serving import application
from yuragi.tables import TableModel

ROW: dict[str, Any] = {"size": 10.5, "colour": "red", "shop": "shop 1", "open": "yes", "day": "2024-01-05"}
HEADER = "size,colour,shop,open,day"
LINE = "10.5,red,shop 1,yes,2024-01-05"


def with_(**values: Any) -> str:
    """Two rows, the second with other values."""
    return json.dumps({"rows": [ROW, ROW | values]})


def without(name: str, rows: int) -> str:
    """Two rows, of which so many lack a column."""
    short = {key: value for key, value in ROW.items() if key != name}
    return json.dumps({"rows": [short, *([ROW, short][rows - 1 :])][:2]})


JSON_REQUESTS: dict[str, tuple[str | bytes, int, str, list[tuple[int | None, str | None]]]] = {
    "text for a number": (with_(size="12"), 422, "is '12' in row 2: give a number or null", [(2, "size")]),
    "truth for a number": (with_(size=True), 422, "is true in row 2", [(2, "size")]),
    "a list for a number": (with_(size=[1]), 422, "is a list in row 2", [(2, "size")]),
    "an object for a category": (with_(colour={}), 422, "is an object in row 2", [(2, "colour")]),
    "half a character": (with_(colour="\ud800"), 422, "'\\ud800' in row 2", [(2, "colour")]),
    "a number for a truth value": (with_(open=1), 422, "give true, false, 'no', 'yes' or null", [(2, "open")]),
    "a day that is none": (with_(day="2024-02-30"), 422, "date in ISO 8601, or null", [(2, "day")]),
    "a number for a date": (with_(day=20240105), 422, "is 20240105 in row 2", [(2, "day")]),
    "two values": (with_(size="x", day=""), 422, "(and more)", [(2, "size"), (2, "day")]),
    "no such column": (with_(height=1), 422, "'height', which the model does not know", [(2, "height")]),
    "a column lost": (without("colour", 2), 422, "column 'colour' is missing", [(None, "colour")]),
    "a column lost in one row": (without("colour", 1), 422, "row 1 has no column 'colour'", [(1, "colour")]),
    "a column twice": ('{"rows": [{"size": 1, "size": 2}]}', 422, "'size' is there more than once", [(None, "size")]),
    "rows twice": ('{"rows": [], "rows": []}', 422, "'rows' is there more than once", [(None, "rows")]),
    "no rows": ('{"rows": []}', 422, "has no rows", []),
    "an empty row": ('{"rows": [{}]}', 422, "'size' is missing", [(None, name) for name in ROW]),
    "a row that is a list": ('{"rows": [[1]]}', 422, "row 1 is no object", [(1, None)]),
    "a list of rows": ("[{}]", 422, 'must be {"rows": ', []),
    "something beside rows": ('{"rows": [], "level": 0.5}', 422, 'must be {"rows": ', []),
    "null": ("null", 422, 'must be {"rows": ', []),
    "nothing": ("", 400, "no JSON in line 1, column 1", []),
    "half of it": ('{"rows": [{"size"', 400, "no JSON in line 1", []),
    "NaN": ('{"rows": [{"size": NaN}]}', 400, "NaN, which JSON has not", []),
    "Infinity": ('{"rows": [{"size": -Infinity}]}', 400, "-Infinity, which JSON has not", []),
    "a number of many digits": (f'{{"rows": [{{"size": {"9" * 5000}}}]}}', 400, "4,300 digits", []),
    "deep": ('{"rows":' + "[" * 100_000, 400, "nested too deeply", []),
    "no UTF-8": (b'{"rows": "\xff"}', 400, "no UTF-8 from byte 10 on", []),
}

CSV_REQUESTS: dict[str, tuple[str | bytes, int, str, list[tuple[int | None, str | None]]]] = {
    "a word for a number": (f"{HEADER}\n{LINE}\nx{LINE[4:]}\n", 422, "'x' in row 2", [(2, "size")]),
    "two columns": (
        f"{HEADER}\n{LINE}\nx,red,shop 1,yes,soon\n",
        422,
        "'x' in row 2",
        [(2, "size"), (2, "day")],
    ),
    "lost columns": (
        "size,colour\n1,red\n",
        422,
        "3 columns of the training table are missing",
        [(None, name) for name in ("shop", "open", "day")],
    ),
    "a column twice": (f"{HEADER},size\n{LINE},1\n", 422, "'size' is there more than once", [(None, "size")]),
    "the place of a prediction": (f"{HEADER},price_mean\n{LINE},1\n", 422, "has a column 'price_mean' already", []),
    "a long row": (f"{HEADER}\n{LINE},1\n", 400, "line 2 has 6 fields and the header 5", []),
    "a quote": (f'{HEADER}\n"{LINE}\n', 400, "never closed", []),
    "a header alone": (HEADER, 400, "a header and no rows", []),
    "nothing": ("", 400, "is empty", []),
    "numbers alone": ("1,2\n3,4\n", 400, "has no header", []),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0", 400, "NUL bytes", []),
    "gzip": (b"\x1f\x8b\x08\0\0\0", 400, "NUL bytes", []),
    "Parquet": (b"PAR1\x15\0\0PAR1", 400, "NUL bytes", []),
    "too many columns": (",".join(f"c{n}" for n in range(1007)), 400, "1,007 columns, at most 1,006 can be used", []),
    "commas alone": ("," * 2**20, 400, "1,048,577 columns, at most 1,006 can be used", []),
}


def check(reply: Any, status: int, message: str, where: list[tuple[int | None, str | None]]) -> None:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert problem["status"] == status
    assert message in problem["detail"] or message in str(problem.get("errors")), problem
    assert [(one.get("row"), one.get("column")) for one in problem.get("errors", [])] == where
    assert "Traceback" not in reply.text
    assert "/src/" not in reply.text


@pytest.mark.parametrize("name", JSON_REQUESTS)
def test_json(name: str) -> None:
    content, status, message, where = JSON_REQUESTS[name]
    check(client().post("/predict", content=content, headers=JSON), status, message, where)


@pytest.mark.parametrize("name", CSV_REQUESTS)
def test_csv(name: str) -> None:
    content, status, message, where = CSV_REQUESTS[name]
    check(client().post("/predict", content=content, headers=CSV), status, message, where)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("level=1", "'level' cannot be used: Input should be less than or equal to 0.999999"),
        ("level=0.9999999999999999", "'level' cannot be used: Input should be less than or equal to 0.999999"),
        ("level=nan", "'level' cannot be used"),
        ("level=high", "'level' cannot be used"),
        ("level=0.5&level=0.5", "'level' cannot be used: a level is there more than once"),
        ("&".join(f"level=0.{n}" for n in range(10, 21)), "'level' cannot be used"),
        ("seed=-1", "'seed' cannot be used"),
        ("seed=9223372036854775808", "'seed' cannot be used"),
        ("sample=3", "'sample' cannot be used"),
    ],
)
def test_what_the_address_asks(query: str, message: str) -> None:
    reply = client().post(f"/predict?{query}", content=as_csv(new_rows(1)), headers=CSV)
    check(reply, 422, message, [(None, None)])
    assert reply.json()["errors"][0]["parameter"] == query.split("=")[0]


@pytest.mark.parametrize(
    ("head", "status", "message"),
    [
        ({}, 415, "Content-Type: application/json or text/csv"),
        ({"Content-Type": "text/plain"}, 415, "Content-Type: application/json or text/csv"),
        ({"Content-Type": "application/octet-stream"}, 415, "Content-Type"),
        ({"Content-Type": "text/csv; charset=klingon"}, 415, "charset"),
        ({"Content-Type": "text/csv; charset=zip"}, 415, "charset"),
        ({"Content-Type": "application/json; charset=utf-16"}, 415, "charset"),
        ({**CSV, "Content-Encoding": "gzip"}, 415, "compressed"),
        ({**CSV, "Accept": "text/html"}, 406, "application/json or text/csv"),
        ({**CSV, "Accept": "text/csv;q=0, application/json;q=0.0"}, 406, "application/json or text/csv"),
    ],
)
def test_what_the_head_says(head: dict[str, str], status: int, message: str) -> None:
    check(client().post("/predict", content=as_csv(new_rows(1)), headers=head), status, message, [])


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("application/json", "application/json"),
        ("text/*", "text/csv"),
        ("*/*;q=0.1", "text/csv"),
        ("application/json;q=0.9, text/csv;q=0.8", "application/json"),
        ("text/csv;q=0, */*", "application/json"),
        ("text/html, application/json;q=0.5", "application/json"),
    ],
)
def test_the_form_that_is_liked_best(accept: str, form: str) -> None:
    reply = client().post("/predict", content=as_csv(new_rows(1)), headers={**CSV, "Accept": accept})
    assert reply.headers["content-type"].startswith(form)


def test_no_more_faults_are_listed_than_can_be_read() -> None:
    reply = client().post("/predict", json={"rows": [ROW | {"size": "x"}] * 100})
    check(reply, 422, "(and more)", [(row, "size") for row in range(1, 21)])


def test_too_many_rows() -> None:
    for rows in (100, 101):
        for reply in (
            client().post("/predict", json={"rows": [ROW] * rows}),
            client().post("/predict", content=f"{HEADER}\n{f'{LINE}{chr(10)}' * rows}", headers=CSV),
        ):
            if rows == 100:
                assert reply.status_code == 200
            else:
                check(reply, 422, "101 rows, at most 100 are taken", [])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/docs", 404),
        ("GET", "/schema/", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/predict", 405),
        ("DELETE", "/schema", 405),
    ],
)
def test_there_is_nothing_else(method: str, path: str, status: int) -> None:
    check(client().request(method, path), status, "", [])


def test_a_bug_shows_in_the_log_and_not_in_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(TableModel, "predict_table", broken)
    reply = client().post("/predict", json=as_json(new_rows(1)))
    check(reply, 500, "failed to answer", [])
    assert "secret" not in reply.text
    with pytest.raises(ZeroDivisionError):  # which the server writes to its log
        TestClient(application(model())).post("/predict", json=as_json(new_rows(1)))


def test_a_model_that_returns_no_numbers_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    from yuragi.prediction import NotFiniteError
    from yuragi.tabular import TabularModel

    def broken(*_: object) -> None:
        raise NotFiniteError("of row 0")

    monkeypatch.setattr(TabularModel, "predict", broken)
    check(client().post("/predict", json=as_json(new_rows(1))), 422, "no finite numbers", [])
