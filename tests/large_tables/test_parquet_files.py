"""Parquet in row groups: the same table as when it is read at once."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from yuragi.large_tables import open_files, parquet_files
from yuragi.tables import TableError, TableWarning, read_table


def frame(rows: int = 50) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "number": random.normal(size=rows),
            "whole": pd.array([None, *range(rows - 1)], dtype="Int64"),
            "small": np.arange(rows, dtype=np.int8),
            "text": ["ä" * (place % 4) or None for place in range(rows)],
            "level": pd.Categorical(random.choice(["a", "b"], rows)),
            "yes": random.random(rows) < 0.5,
            "day": [datetime.date(2024, 1, 1 + place % 28) for place in range(rows)],
            "moment": pd.date_range("2024-01-01", periods=rows, freq="h", tz="Asia/Tokyo"),
            "money": [decimal.Decimal(place) / 4 for place in range(rows)],
        }
    )


@pytest.mark.parametrize("together", [1 << 20, 27])
def test_row_groups_are_the_table(together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "_CELLS", together)
    frame().to_parquet(tmp_path / "t.parquet", row_group_size=7)
    files = open_files(tmp_path / "t.parquet")
    assert [block.rows for block in files.blocks] == [*[7] * 7, 1]
    assert max(len(part) for _, part in files.frames()) == min(7, together // 9)
    read, whole = files.read(), read_table(tmp_path / "t.parquet")
    # one row group knows of the missing values of another only where they are put together
    pd.testing.assert_frame_equal(read, whole)
    for block in reversed(files.blocks):
        part = pd.concat([one for _, one in files.frames([block])], ignore_index=True)
        expected = whole.iloc[block.first : block.first + block.rows].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, expected, check_dtype=False)


def test_files_are_one_table_where_their_columns_are_the_same(tmp_path: Path) -> None:
    plain = frame().drop(columns="money")  # whose type pandas finds anew in each file
    for part in range(3):
        plain.iloc[part * 10 : part * 10 + 10].to_parquet(tmp_path / f"{part}.parquet")
    files = open_files(tmp_path / "*.parquet")
    pd.testing.assert_frame_equal(files.read()[["number", "text"]], plain.iloc[:30][["number", "text"]])
    plain.assign(number=1).to_parquet(tmp_path / "3.parquet")
    with pytest.raises(
        TableError, match=r"3\.parquet is no part of the table of .*0\.parquet: 'number' is of another type"
    ):
        open_files(tmp_path / "*.parquet")
    plain.drop(columns="text").to_parquet(tmp_path / "3.parquet")
    with pytest.raises(TableError, match=r"3\.parquet is no part of .*: it has not 'text'"):
        open_files(tmp_path / "*.parquet")
    (tmp_path / "4.csv").write_text("a\n1\n")
    with pytest.raises(TableError, match="cannot be one table: one is Parquet, the other text"):
        open_files([tmp_path / "0.parquet", tmp_path / "4.csv"])


def test_damaged_files_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    frame().to_parquet(path)
    data = path.read_bytes()
    path.write_bytes(data[:-20])
    with pytest.raises(TableError, match=r"t\.parquet is a damaged Parquet file"):
        open_files(path)
    path.write_bytes(data[:4] + bytes(200) + data[204:])
    with pytest.raises(TableError, match=r"t\.parquet is a damaged Parquet file"):
        open_files(path).read()
    pq.write_table(pa.table({"a": [[1]], "b": [1]}), path)
    with pytest.warns(TableWarning, match="columns of lists or records are left out"):
        assert open_files(path).names == ("b",)
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), path)
    with pytest.raises(TableError, match="has a header and no rows"):
        open_files(path)
