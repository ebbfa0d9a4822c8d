"""Text tables: every encoding, delimiter and notation gives the same table, and what is no table is refused by line."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yuragi.tables import TableError, delimited
from yuragi.tables.delimited import parse

TABLE = "名前,size,day\n東京,1.5,2024-03-01\nカフェ,22,2024-03-02\nﾄｳｷｮｳ,-3,\n"


def parsed(text: str | bytes, **options: Any) -> pd.DataFrame:
    return parse(text.encode() if isinstance(text, str) else text, "t.csv", **options)


def lists(text: str) -> dict[str, list[Any]]:
    return {
        str(name): values.astype(object).where(values.notna(), None).tolist() for name, values in parsed(text).items()
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp932", "shift_jis"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line", ["\n", "\r\n"])
def test_every_encoding_and_delimiter(encoding: str, delimiter: str, line: str) -> None:
    data = TABLE.replace(",", delimiter).replace("\n", line).encode(encoding)
    expected = parsed(TABLE)
    assert list(expected.columns) == ["名前", "size", "day"]
    assert expected["size"].tolist() == [1.5, 22, -3]
    pd.testing.assert_frame_equal(parsed(data), expected)


def test_an_encoding_that_is_named() -> None:
    assert parsed("naïve,b\n1,2\n".encode("mac-roman"), encoding="mac-roman").columns[0] == "naïve"
    assert parsed("a,b\n1,2\n".encode("utf-16-le"), encoding="utf-16-le").columns.tolist() == ["a", "b"]
    with pytest.raises(TableError, match=r"t.csv: there is no encoding 'utf-9'"):
        parsed(TABLE, encoding="utf-9")
    with pytest.raises(TableError, match="is no text in ascii: save it as UTF-8, or give its encoding"):
        parsed(TABLE, encoding="ascii")


@pytest.mark.parametrize("text", ["größe;straße\n1;2\n", "prénom,âge\nZoé,3\n", "niño,año\n1,2\n"])
def test_western_text_is_not_taken_for_japanese(text: str) -> None:
    assert delimited.decode(text.encode("cp1252"), "t.csv") == text


def test_a_damaged_character_in_utf_8_is_named_and_not_read_as_something_else() -> None:
    data = TABLE.encode().replace("カフェ".encode(), "カフェ".encode()[:-1])
    with pytest.raises(TableError, match=r"t.csv is UTF-8 with a damaged character in line 3"):
        parsed(data * 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;b\n1,5;2\n0,25;3\n", {"a": [1.5, 0.25], "b": [2, 3]}),
        ("a;b\n1.234,5;1.234\n0,5;2.000\n", {"a": [1234.5, 0.5], "b": [1234, 2000]}),  # the first column decides
        ('a,b\n"1,234",1.5\n"2,000",0.5\n', {"a": [1234, 2000], "b": [1.5, 0.5]}),
        ("a\tb\n1 234\t5\n12\t6\n", {"a": [1234, 12], "b": [5, 6]}),
        ("code,n\n007,1\n123,\n", {"code": ["007", "123"], "n": [1, None]}),
        ("a,b\n1e3,NA\n-.5,2\n", {"a": [1000, -0.5], "b": [None, 2]}),
        ("a,b\n12%,$3\n5%,$4\n", {"a": ["12%", "5%"], "b": ["$3", "$4"]}),  # with units: as written
        ("a,b\nTrue,x y\nFalse, z\n", {"a": ["True", "False"], "b": ["x y", "z"]}),
        ('a,b\n"x\ny","say ""hi"""\n', {"a": ["x\ny"], "b": ['say "hi"']}),
        ("a,b\n1\n2,3\n", {"a": [1, 2], "b": [None, 3]}),  # a short row
        ("a,b,\n1,2,\n3,4,\n", {"a": [1, 3], "b": [2, 4]}),  # lines that end with a delimiter
        ("a,b\n\n1,2\n\n", {"a": [1], "b": [2]}),
        ("a\n1\n2\n", {"a": [1, 2]}),
        ("１,ｂ\n１２,−５\n", {"１": [12], "ｂ": [-5]}),
        ("a,b\n123456789012345678,1234567890123456789\n", {"a": [123456789012345678], "b": ["1234567890123456789"]}),
    ],
)
def test_what_cells_become(text: str, expected: dict[str, list[Any]]) -> None:
    assert lists(text) == expected


def test_integers_stay_integers_also_beside_missing_values() -> None:
    frame = parsed("a,b,c\n1,2,1.5\n3,,2\n")
    assert [str(kind) for kind in frame.dtypes] == ["int64", "Int64", "float64"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.csv is empty: a table needs a header and rows"),
        (" \n\n ", "t.csv is empty"),
        (
            "a,b\n1,2,3\n",
            "line 2 has 3 fields and the header 2: correct the line, put quotes around fields that hold ','",
        ),
        ('a,b\n1,2\n"3,4\n', r'a quote \("\) that opens in line 3 is never closed: close or remove it'),
        ("a,b\n1,\x002\n", "t.csv is no text, or UTF-16 without a mark .give its encoding.: it holds NUL bytes"),
        ("1,2\n3,4\n", "t.csv has no header: its first line holds numbers only .'1,2'"),
        ("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "t.csv is no text, or UTF-16 without a mark"),
    ],
)
def test_what_is_no_table(text: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        parsed(text)


def test_what_is_too_large() -> None:
    with pytest.raises(TableError, match=r"t.csv has 10,001 columns, at most 10,000 can be used: leave some out"):
        parsed(",".join("a" * 10_001) + "\n")
    with pytest.raises(
        TableError, match="has 10,000,003 lines of 2 columns, at most 20,000,000 cells can be used: take a"
    ):
        parsed("a,b\n" + "\n" * 10_000_001)
    with pytest.raises(TableError, match="has a first line of more than 10,000,000 characters, which is no header"):
        parsed("a" * 10_000_001)


def test_a_delimiter_that_is_named() -> None:
    assert parsed("a,b;c\n1,2;3\n", delimiter=";").columns.tolist() == ["a,b", "c"]
    with pytest.raises(TableError, match="a delimiter is one character, got 'tab'"):
        parsed(TABLE, delimiter="tab")


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=6)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=6), delimiter=st.sampled_from(delimited.DELIMITERS))
def test_what_the_csv_module_writes_is_read_back(rows: list[tuple[str, str]], delimiter: str) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerows([("a", "b"), *(("x" + one, "y" + two) for one, two in rows)])
    frame = parsed(text.getvalue(), delimiter=delimiter)
    assert frame["a"].tolist() == ["x" + one for one, _ in rows]
    assert frame["b"].tolist() == ["y" + two for _, two in rows]
    assert np.shape(frame) == (len(rows), 2)
