"""From the bytes of a request to a table; and what is wrong with them, by row and column."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from yuragi.serving.problems import MOST, Fault, Problem, faulty
from yuragi.tables import Schema, TableError, columns, dates, delimited
from yuragi.tables.columns import Column
from yuragi.tables.errors import shown
from yuragi.tables.reading import distinct_names

_SCALAR = (str, int, float, bool, type(None))
_FURTHER = 1000  # columns of CSV that the model does not know: each takes about a millisecond to read
Row = Mapping[str, Any]


def from_csv(data: bytes, encoding: str | None, schema: Schema, most: int) -> pd.DataFrame:
    """A table from text with delimiters, read as `yuragi predict` reads a file of it.

    Args:
        data: of the request.
        encoding: of the text; found when left out.
        schema: of the model.
        most: rows.

    Raises:
        Problem: it is no such table (400), a column is there twice, or it has more rows (422).
    """
    try:
        known = 1 + len(schema.columns) + len(schema.left_out)
        frame = delimited.parse(data, "the request", encoding, most=known + _FURTHER)
    except TableError as error:
        raise Problem(400, str(error)) from error
    names, renamed = distinct_names([str(name) for name in frame.columns])
    if renamed:
        raise faulty([Fault(f"column {shown(name)} is there more than once", column=name) for name in renamed.values()])
    if not len(frame):
        raise Problem(400, "the request has a header and no rows")
    _check_number(len(frame), most)
    return frame.set_axis(names, axis=1)


def from_json(data: bytes, schema: Schema, most: int) -> pd.DataFrame:
    """A table from {"rows": [{column: value, ...}, ...]}, each value checked by itself.

    A row has all columns that the model reads, null where the value is missing. It may also have the target and the columns
    that the model leaves out, which are passed over.

    Args:
        data: of the request, in UTF-8.
        schema: of the model.
        most: rows.

    Returns:
        The columns that the model reads.

    Raises:
        Problem: it is no JSON (400), is another, or has more rows (422).

    Example:
        >>> train = pd.DataFrame({"size": [1.5, 2.5, 3.0, 4.0] * 5, "price": np.arange(20) / 2})
        >>> from_json(b'{"rows": [{"size": 2}, {"size": null}]}', Schema.of(train, "price"), most=10)
           size
        0     2
        1  None
    """
    rows = _parsed(data)
    _check_number(len(rows), most)
    known = {schema.target.name, *(one.name for one in schema.left_out), *(column.name for column in schema.columns)}
    for faults in (_faults_of_names(rows, schema.columns, known), _faults_of_values(rows, schema.columns)):
        # no more than are told of: a request may hold a million of them
        if first := list(itertools.islice(faults, MOST)):
            raise faulty(first)
    # as objects: a column of pandas' own would make 1 a 1.0 because another row has none
    return pd.DataFrame(
        {column.name: pd.Series([row[column.name] for row in rows], dtype=object) for column in schema.columns}
    )


def refused(error: TableError, frame: pd.DataFrame, schema: Schema) -> Problem:
    """The problem of a table that a model refused: all that it would refuse, by row and column."""
    present = set(frame.columns)
    lost = [column.name for column in schema.columns if column.name not in present]
    faults = [Fault(f"column {shown(name)} is missing", column=name) for name in lost]
    for column in schema.columns:
        if column.name in present:
            try:
                columns.read(column, frame[column.name])
            except TableError as one:
                faults.append(Fault(str(one), one.row, column.name))
    return Problem(422, str(error), faults)


def _check_number(rows: int, most: int) -> None:
    if rows > most:
        raise Problem(422, f"the request has {rows:,} rows, at most {most:,} are taken: send fewer at once")


def _parsed(data: bytes) -> list[Row]:
    try:
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_distinct, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Problem(400, f"the request is no UTF-8 from byte {error.start:,} on") from error
    except json.JSONDecodeError as error:
        raise Problem(
            400, f"the request is no JSON in line {error.lineno}, column {error.colno}: {error.msg}"
        ) from error
    except ValueError as error:  # of int(): Python reads no number of more digits
        raise Problem(400, "the request holds a number of more than 4,300 digits") from error
    except RecursionError as error:
        raise Problem(400, 'the request is nested too deeply: give {"rows": [{column: value, ...}, ...]}') from error
    if not isinstance(document, dict) or document.keys() != {"rows"} or not isinstance(document["rows"], list):
        raise Problem(422, 'the request must be {"rows": [{column: value, ...}, ...]}')
    rows: list[Row] = document["rows"]
    if not rows:
        raise Problem(422, "the request has no rows")
    wrong = [place for place, row in enumerate(rows) if not isinstance(row, dict)]
    if wrong:
        message = "row {} is no object of columns and values"
        raise faulty([Fault(message.format(place + 1), place + 1) for place in wrong])
    return rows


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise faulty([Fault(f"{shown(name)} is there more than once in the same object", column=name)])
        found[name] = value
    return found


def _no_constant(name: str) -> None:
    raise Problem(400, f"the request is no JSON: it holds {name}, which JSON has not; a missing value is null")


def _faults_of_names(rows: Sequence[Row], wanted: Sequence[Column], known: set[str]) -> Iterator[Fault]:
    given = {name for row in rows for name in row}
    names = [column.name for column in wanted]
    yield from (Fault(f"column {shown(name)} is missing", column=name) for name in names if name not in given)
    needed = [name for name in names if name in given]
    for number, row in enumerate(rows, 1):
        for name in row:
            if name not in known:
                message = f"row {number} has a column {shown(name)}, which the model does not know: leave it out"
                yield Fault(message, number, name)
        for name in needed:
            if name not in row:
                yield Fault(f"row {number} has no column {shown(name)}: give null where it is missing", number, name)


def _faults_of_values(rows: Sequence[Row], wanted: Sequence[Column]) -> Iterator[Fault]:
    for column in wanted:
        values = [row[column.name] for row in rows]
        bad, expected = _checked(column, values)
        for place in np.flatnonzero(bad).tolist():
            message = f"column {shown(column.name)} is {_quoted(values[place])} in row {place + 1}: give {expected}"
            yield Fault(message, place + 1, column.name)


def _checked(column: Column, values: Sequence[Any]) -> tuple[list[bool], str]:
    """Which values are none that a column may hold, and what it may."""
    if column.kind == "number":
        return [isinstance(value, (bool, str, list, dict)) for value in values], "a number or null"
    if column.kind == "boolean":
        bad = [not (value is None or isinstance(value, bool) or _is_level(column, value)) for value in values]
        return bad, f"true, false, {', '.join(map(shown, column.levels))} or null"
    if column.kind == "date":
        form = "in ISO 8601" if is_iso(column) else f"written as {column.notation}"
        return _bad_dates(column, values), f"text that is a date {form}, or null"
    bad = [not isinstance(value, _SCALAR) or not _whole(value) for value in values]
    return bad, "text, a number, true, false or null"


def _is_level(column: Column, value: Any) -> bool:
    return isinstance(value, str) and value in column.levels


def is_iso(column: Column) -> bool:
    """Whether JSON gives the dates of a column in ISO 8601."""
    return column.notation in ("", "ISO8601")


def _bad_dates(column: Column, values: Sequence[Any]) -> list[bool]:
    texts = [value if isinstance(value, str) else None for value in values]
    found = dates.seconds(texts, "ISO8601" if is_iso(column) else column.notation)
    return [value is not None and bool(np.isnan(one)) for value, one in zip(values, found, strict=True)]


def _whole(value: Any) -> bool:
    # JSON may escape one half of a pair of surrogates, which no encoding can write
    return not isinstance(value, str) or value.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in value)


def _quoted(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    return json.dumps(value) if isinstance(value, bool) else shown(value)
