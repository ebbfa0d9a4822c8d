"""`write_table`: what is written is read again, whole or not at all."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from yuragi.tables import TableError, read_table, write_table

FRAME = pd.DataFrame(
    {
        "code": ["007", "012", "100"],
        "whole": [540, 1, -3],
        "gaps": pd.array([540, None, 2**53 + 1], dtype="Int64"),
        "x": [0.1, np.nan, 1 / 3],
        "色": ["赤, 青", 'say "hi"', None],
    }
)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".xlsx", ".CSV"])
def test_a_table_is_read_as_it_was_written(suffix: str, tmp_path: Path) -> None:
    frame = FRAME.drop(columns="gaps") if suffix == ".xlsx" else FRAME  # Excel keeps 15 digits
    write_table(frame, tmp_path / f"t{suffix}")
    pd.testing.assert_frame_equal(read_table(tmp_path / f"t{suffix}"), frame)
    assert os.listdir(tmp_path) == [f"t{suffix}"]


def test_a_text_table_passes_through_as_it_was_read() -> None:
    text = (
        "code,n,gaps,x,ok,day,big,空\n"
        "007,540,,0.5,True,2024/3/1,12345678901234567890,はい\n"
        "010,-3,7,1e-07,False,,1,いいえ\n"
    )
    written = io.BytesIO()
    write_table(read_table(io.BytesIO(text.encode())), written)
    assert written.getvalue().decode() == text


def test_standard_output_gets_text(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(FRAME[["code", "gaps", "色"]], "-")
    assert capsys.readouterr().out == 'code,gaps,色\n007,540,"赤, 青"\n012,,"say ""hi"""\n100,9007199254740993,\n'


def test_encodings() -> None:
    written = io.BytesIO()
    write_table(FRAME, written, encoding="utf-8-sig")
    assert written.getvalue().startswith(b"\xef\xbb\xbfcode,")
    with pytest.raises(TableError, match="'色' cannot be written in cp1252: use utf-8"):
        write_table(FRAME, io.BytesIO(), encoding="cp1252")
    with pytest.raises(TableError, match="there is no encoding 'utf-9'"):
        write_table(FRAME, io.BytesIO(), encoding="utf-9")


@pytest.mark.parametrize(
    ("frame", "name", "message"),
    [
        (FRAME, "t.json", r"t.json: a table is written as .csv, .csv.gz, .parquet, .xlsx: give the file such a suffix"),
        (pd.DataFrame({"a": [1, "x"]}), "t.parquet", "Parquet cannot hold the table .* write it as CSV"),
        (pd.DataFrame({"a": ["\x01"]}), "t.xlsx", "Excel cannot hold the table .* write it as CSV"),
        (pd.DataFrame({"a": ["x" * 32_768]}), "t.xlsx", "column 'a' has a text of more than 32,767 characters"),
        (
            pd.DataFrame({"a": pd.to_datetime(["2024-03-01"], utc=True)}),
            "t.xlsx",
            "Excel has no time zones, as column 'a' has",
        ),
        (pd.DataFrame(np.zeros((1, 16_385))), "t.xlsx", "Excel cannot hold 1 rows of 16,385 columns: write it as CSV"),
    ],
)
def test_a_table_that_cannot_be_written_leaves_the_file_as_it_was(
    frame: pd.DataFrame, name: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("before")
    with pytest.raises(TableError, match=message):
        write_table(frame, tmp_path / name)
    assert (tmp_path / name).read_text() == "before"
    assert os.listdir(tmp_path) == [name]


def test_an_interrupted_write_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_text("before")

    def fail(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        write_table(FRAME, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "before"
    assert os.listdir(tmp_path) == ["t.csv"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        write_table(FRAME, tmp_path / "nothing" / "t.csv")
