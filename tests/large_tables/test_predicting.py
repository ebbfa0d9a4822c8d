"""`predict_files`: the predictions for a table in memory, row for row, whatever the blocks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from tests.large_tables.test_parquet_files import frame as columns_of_every_type
from tests.made_up_tables import model, table

from yuragi.large_tables import open_files, parquet_files, predict_files, text_files
from yuragi.tables import TableError, read_table, write_table


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "BLOCK", 600)
    monkeypatch.setattr(parquet_files, "_CELLS", 100)


def new(rows: int = 60) -> pd.DataFrame:
    frame = table(rows, seed=1).drop(columns=["kind", "price"])
    frame["code"] = [f"00{place}" for place in range(rows)]
    frame["whole"] = pd.array([None, *range(1, rows)], dtype="Int64")
    return frame


@pytest.mark.parametrize(
    ("source", "suffix", "target"),
    [
        ("new.csv", ".csv", "price"),
        ("new.csv", ".parquet", "kind"),
        ("new.csv", ".csv.gz", "kind"),
        ("new.parquet", ".parquet", "price"),
        ("new.parquet", ".csv", "kind"),
    ],
)
def test_it_is_the_prediction_of_the_table(source: str, suffix: str, target: str, tmp_path: Path) -> None:
    if source == "new.csv":
        write_table(new(), tmp_path / source)
    else:
        new().to_parquet(tmp_path / source, row_group_size=13)
    done = predict_files(model(target), tmp_path / source, tmp_path / f"out{suffix}", level=0.8, seed=3)
    whole = read_table(tmp_path / source)
    expected = model(target).predict_table(whole, level=0.8, seed=3)
    assert done.rows == 60
    assert len(open_files(tmp_path / source).blocks) > 3
    assert list(done.added) == list(expected.columns[whole.shape[1] :])
    assert list(done.notes) == model(target).schema.notes(whole)
    # means are the same to the last bit; a quantile is as precise as a float64 of its size is
    found = read_table(tmp_path / f"out{suffix}")
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-12, atol=0)
    if target == "price":
        np.testing.assert_array_equal(found["price_mean"], expected["price_mean"])
    if suffix == ".csv":  # what was there is written as it was
        write_table(expected, tmp_path / "expected.csv")
        lines = [(tmp_path / name).read_text().splitlines() for name in ("out.csv", "expected.csv")]
        kept = [[line.split(",")[: whole.shape[1]] for line in one] for one in lines]
        assert kept[0] == kept[1]


def test_notes_count_all_rows_and_name_the_first(tmp_path: Path) -> None:
    frame = new()
    frame.loc[[35, 50], "size"] = [1e6, 2e6]
    frame.loc[[15, 55], "colour"] = "mauve"
    write_table(frame, tmp_path / "new.csv")
    done = predict_files(model(), tmp_path / "new.csv", tmp_path / "out.csv")
    assert "column 'colour': 2 values that the training table had not, the first in row 16: 'mauve'" in done.notes
    assert list(done.notes) == model().schema.notes(read_table(tmp_path / "new.csv"))


def test_a_folder_gets_a_file_for_each_file(tmp_path: Path) -> None:
    frame = new()
    for part in range(3):
        write_table(frame.iloc[part * 20 : part * 20 + 20], tmp_path / f"part-{part}.csv")
    told: list[float] = []
    done = predict_files(model(), tmp_path / "part-*.csv", f"{tmp_path}/out/", progress=told.append)
    assert done.rows == 60
    assert [os.path.basename(path) for path in done.files] == [f"part-{part}.csv" for part in range(3)]
    predicted = pd.concat([read_table(path) for path in done.files], ignore_index=True)
    whole = open_files(tmp_path / "part-*.csv").read()
    pd.testing.assert_frame_equal(predicted, model().predict_table(whole), check_dtype=False)
    assert (told == sorted(told), told[-1]) == (True, 1.0)
    one = predict_files(model(), tmp_path / "part-*.csv", tmp_path / "whole.csv")
    assert (one.rows, one.notes) == (60, done.notes)
    pd.testing.assert_frame_equal(read_table(tmp_path / "whole.csv"), predicted, check_dtype=False)


def test_columns_of_any_type_are_kept(tmp_path: Path) -> None:
    every = pd.concat([new(), columns_of_every_type(60)], axis=1)
    every = every.loc[:, ~every.columns.duplicated()]
    every.to_parquet(tmp_path / "new.parquet", row_group_size=17)
    predict_files(model(), tmp_path / "new.parquet", tmp_path / "out.parquet")
    written, given = (pq.read_table(tmp_path / name) for name in ("out.parquet", "new.parquet"))
    for name in every.columns:
        assert written[name].to_pylist() == given[name].to_pylist()
        assert written[name].type == given[name].type or name == "level"


def test_a_byte_order_mark_is_written_once(tmp_path: Path) -> None:
    write_table(new().assign(備考="良い"), tmp_path / "new.csv")
    predict_files(model(), tmp_path / "new.csv", tmp_path / "out.csv", output_encoding="utf-8-sig")
    data = (tmp_path / "out.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    assert data.count(b"\xef\xbb\xbf") == 1
    with pytest.raises(TableError, match=r"out\.csv: '備' cannot be written in cp1252: use utf-8"):
        predict_files(model(), tmp_path / "new.csv", tmp_path / "out.csv", output_encoding="cp1252")
    assert (tmp_path / "out.csv").read_bytes() == data  # nothing is half written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv", "out.csv"]


def test_a_row_of_another_kind_leaves_nothing_behind(tmp_path: Path) -> None:
    frame = new().astype({"size": object})
    frame.loc[50, "size"] = "big"
    write_table(frame, tmp_path / "new.csv")
    with pytest.raises(
        TableError, match=r"'size' holds numbers.*here 'big' in row .*counted from row [0-9]+ of the table"
    ):
        predict_files(model(), tmp_path / "new.csv", tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


def test_what_is_refused(tmp_path: Path) -> None:
    write_table(new(), tmp_path / "new.csv")
    (tmp_path / "a").mkdir()
    write_table(new(), tmp_path / "a" / "new.csv")
    for source, output, message in (
        ("new.csv", "out.xlsx", r"out\.xlsx: a table is written block by block as \.csv, \.csv\.gz, \.parquet"),
        ("new.csv", "new.csv", r"new\.csv is the table itself"),
        ("new.csv", "./", "is the folder of the table itself"),
    ):
        with pytest.raises(TableError, match=message):
            predict_files(model(), tmp_path / source, f"{tmp_path}/{output}")
    with pytest.raises(TableError, match=r"two files of the table are called new\.csv: predict them one by one"):
        predict_files(model(), [tmp_path / "new.csv", tmp_path / "a" / "new.csv"], f"{tmp_path}/out/")
    with pytest.raises(TableError, match="writes a file for each file of the table: give it a folder"):
        predict_files(model(), tmp_path / "new.csv", tmp_path / "out.csv", engine="ray")
    with pytest.raises(ValueError, match="level must lie strictly between"):
        predict_files(model(), tmp_path / "new.csv", tmp_path / "out.csv", level=1.0)
    write_table(new().drop(columns="colour"), tmp_path / "short.csv")
    with pytest.raises(TableError, match="1 column of the training table is missing: 'colour'"):
        predict_files(model(), tmp_path / "short.csv", tmp_path / "out.csv")
    write_table(new().assign(price_std=np.arange(60)), tmp_path / "taken.csv")
    with pytest.raises(TableError, match="has a column 'price_std' already"):
        predict_files(model(), tmp_path / "taken.csv", tmp_path / "out.csv")
