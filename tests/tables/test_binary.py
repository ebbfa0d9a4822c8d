"""Parquet and Excel: what their values become, and what is refused."""

from __future__ import annotations

import datetime
import io
import zipfile
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from yuragi.tables import TableError, TableWarning, read_table
from yuragi.tables.binary import parquet, workbook

LARGEST = 1 << 28


def packed(table: pa.Table, **options: Any) -> bytes:
    stream = io.BytesIO()
    pa.parquet.write_table(table, stream, **options)
    return stream.getvalue()


def book(rows: list[list[Any]], *more: str) -> bytes:
    made = openpyxl.Workbook()
    for row in rows:
        made.active.append(row)
    for name in more:
        made.create_sheet(name).append(["z"])
        made[name].append([9])
    stream = io.BytesIO()
    made.save(stream)
    return stream.getvalue()


def changed(data: bytes, part: str, old: bytes, new: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            content = before.read(name)
            if name == part:
                assert old in content
                content = content.replace(old, new)
            after.writestr(name, content)
    return stream.getvalue()


def test_parquet_keeps_its_kinds() -> None:
    day = datetime.datetime(2024, 3, 1, 12)
    table = pa.table(
        {
            "whole": pa.array([1, 2], pa.int32()),
            "gaps": pa.array([2**60 + 1, None]),
            "x": [1.5, None],
            "text": ["007", None],
            "kind": pa.array(["a", "b"]).dictionary_encode(),
            "ok": [True, None],
            "day": pa.array([day, None]),
            "money": pa.array([1, None], pa.decimal128(10, 2)),
        }
    )
    frame = read_table(io.BytesIO(packed(table)))
    assert frame["whole"].tolist() == [1, 2]
    assert frame["whole"].dtype == np.int32
    assert frame["gaps"][0] == 2**60 + 1  # which a float64 is not
    assert frame["text"][0] == "007"
    assert frame["day"][0] == day
    assert frame.iloc[1].isna().tolist() == [False, True, True, True, False, True, True, True]


def test_the_index_of_pandas_and_nested_columns_are_left_out() -> None:
    stream = io.BytesIO()
    pd.DataFrame({"a": [1, 2]}, index=[5, 7]).to_parquet(stream)
    assert read_table(io.BytesIO(stream.getvalue())).columns.tolist() == ["a"]
    with pytest.warns(TableWarning, match=r"columns of lists or records are left out: \['b'\]"):
        frame = read_table(io.BytesIO(packed(pa.table({"a": [1], "b": [[1, 2]]}))))
    assert frame.columns.tolist() == ["a"]


def test_parquet_that_would_be_too_large() -> None:
    with pytest.raises(TableError, match="10,001 columns, at most 10,000"):
        parquet(packed(pa.table({f"c{place}": [1] for place in range(10_001)})), "t.parquet", LARGEST)
    many = packed(pa.table({"a": pa.nulls(20_000_001, pa.int8())}))  # a few bytes
    with pytest.raises(TableError, match="20,000,001 rows of 1 columns, at most 20,000,000 cells"):
        parquet(many, "t.parquet", LARGEST)
    texts = pa.array(["x" * 1000] * 20_000)  # written once
    for repeated in (packed(pa.table({"a": texts})), packed(pa.table({"a": texts.dictionary_encode()}))):
        assert len(repeated) < 20_000
        with pytest.raises(TableError, match=r"t.parquet holds 20,000,000 bytes when unpacked, at most 16,777,216"):
            parquet(repeated, "t.parquet", 1 << 24)


def test_a_workbook_keeps_its_kinds() -> None:
    day = datetime.datetime(2024, 3, 1)
    rows: list[list[Any]] = [
        ["whole", "gaps", "x", "text", "day", "mixed", "大きさ", None],
        [540, 1, 1.5, "007", day, 1, True],
        [2, None, 2, None, None, "a", False],
        [],
        [3, 4],
    ]
    frame = read_table(io.BytesIO(book(rows)))
    assert frame.columns.tolist() == ["whole", "gaps", "x", "text", "day", "mixed", "大きさ"]
    assert frame["whole"].tolist() == [540, 2, 3]
    assert (str(frame["whole"].dtype), str(frame["gaps"].dtype), str(frame["x"].dtype)) == ("int64", "Int64", "float64")
    assert frame["text"][0] == "007"
    assert frame["day"][0] == day
    assert frame["mixed"].tolist()[:2] == [1, "a"]


def test_sheets() -> None:
    data = book([["a"], [1]], "second")
    with pytest.warns(TableWarning, match="the first of 2 sheets is read, 'Sheet'"):
        assert read_table(io.BytesIO(data)).columns.tolist() == ["a"]
    assert read_table(io.BytesIO(data), sheet="second")["z"].tolist() == [9]
    with pytest.raises(TableError, match="no sheet 'third'; it has 'Sheet', 'second'"):
        read_table(io.BytesIO(data), sheet="third")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (book([]), "t.xlsx is empty"),
        (book([["a"], [1, 2]]), "row 1 under the header has more cells than the header has names"),
        (book([["a"], [1]])[:-100], "t.xlsx is a damaged Excel workbook"),
        (
            changed(book([["a"], [1]]), "xl/worksheets/sheet1.xml", b"<row", b"<raw"),
            "t.xlsx is a damaged Excel workbook",
        ),
        (changed(book([["a"], [1]]), "xl/worksheets/sheet1.xml", b'r="A2"', b'r="XFD1048576"'), "t.xlsx"),
    ],
)
def test_workbooks_that_are_no_tables(data: bytes, message: str) -> None:
    with pytest.raises(TableError, match=message):
        workbook(data, "t.xlsx", LARGEST)


def test_an_archive_that_is_no_workbook() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.csv", "a,b\n1,2\n")
    with pytest.raises(TableError, match="is a zip archive and no Excel workbook: unpack it"):
        read_table(io.BytesIO(stream.getvalue()))


def test_a_workbook_that_would_be_too_large() -> None:
    plain = book([["a", "b"], ["x", 1]])
    bomb = changed(plain, "docProps/app.xml", b"</Properties>", b" " * (1 << 24) + b"</Properties>")
    assert len(bomb) < 1 << 16
    with pytest.raises(TableError, match=r"t.xlsx holds 16,\d+,\d+ bytes when unpacked, at most 8,388,608"):
        workbook(bomb, "t.xlsx", 1 << 23)
    # entities that hold each other grow without bound: the parser stops them
    entities = b"".join(b'<!ENTITY e%d "%s">' % (place, b"&e%d;" % (place - 1) * 10) for place in range(1, 12))
    laughs = b'<!DOCTYPE x [<!ENTITY e0 "ha">' + entities + b"]><worksheet"
    data = changed(plain, "xl/worksheets/sheet1.xml", b"<worksheet", laughs)
    data = changed(data, "xl/worksheets/sheet1.xml", b"<v>1</v>", b"<v>&e11;</v>")
    with pytest.raises(TableError, match=r"t.xlsx is a damaged Excel workbook"):
        workbook(data, "t.xlsx", LARGEST)
