"""`read_table`: every kind of file, from paths and streams, and what is refused."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import sys
import time
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest

from yuragi.tables import TableError, TableWarning, read_table, reading

CSV = "id,大きさ,colour\n1,1.5,red\n2,,blue\n3,2.5,\n".encode()


def test_every_kind_of_file_gives_the_same_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    frame = read_table(tmp_path / "a.csv")
    assert frame.columns.tolist() == ["id", "大きさ", "colour"]
    assert frame.shape == (3, 3)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(CSV[:20]) + gzip.compress(CSV[20:]))  # of several members
    (tmp_path / "named_otherwise.txt").write_bytes(gzip.compress(CSV))  # the content says what it is
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_excel(tmp_path / "a.xlsx", index=False)
    for name in ("a.csv.gz", "named_otherwise.txt", "a.parquet", "a.xlsx"):
        pd.testing.assert_frame_equal(read_table(str(tmp_path / name)), frame)


def test_streams_and_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = read_table(io.BytesIO(CSV))
    assert len(frame) == 3
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(CSV))))
    pd.testing.assert_frame_equal(read_table("-"), frame)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\n")))
    with pytest.raises(TableError, match="standard input has a header and no rows"):
        read_table("-")
    with pytest.raises(TypeError, match="open the file with mode 'rb'"):
        read_table(io.StringIO("a,b"))  # type: ignore[arg-type]


def test_names_that_are_missing_or_repeated_are_made_distinct_with_a_warning() -> None:
    with pytest.warns(TableWarning, match=r"columns have the same name: 'a' became 'a.2', 'a' became 'a.3'"):
        frame = read_table(io.BytesIO(b"a,a.1,a,,a\nx,y,z,u,v\n"))
    assert frame.columns.tolist() == ["a", "a.1", "a.2", "Unnamed: 3", "a.3"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "bad.csv is empty: a table needs a header and rows"),
        (b"\n", "bad.csv is empty"),
        (b"a,b\n", "bad.csv has a header and no rows"),
        (b"a,b\n1,2,3\n", "line 2 has 3 fields and the header 2"),
        (gzip.compress(CSV)[:-9], "bad.csv is a damaged gzip file: "),
        (gzip.compress(gzip.compress(CSV)), "bad.csv is compressed twice: decompress it once"),
        (bz2.compress(CSV), "bad.csv is compressed with bzip2: decompress it first"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
            "old or encrypted Excel workbook: save it as .xlsx",
        ),
        (b"%PDF-1.7", "a PDF document: save the table as CSV"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "bad.csv is no text"),
        (b"PAR1" + bytes(50), "bad.csv is a damaged Parquet file"),
        (b"PK\x03\x04" + bytes(50), "bad.csv is a damaged Excel workbook"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",  # compressed bytes have the time in them
)
def test_a_refusal_names_the_file_and_what_to_do(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_bytes(data)
    with pytest.raises(TableError, match=message) as raised:
        read_table(tmp_path / "bad.csv")
    assert "bad.csv" in str(raised.value)


def test_what_is_not_there_or_not_allowed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing.csv"):
        read_table(tmp_path / "nothing.csv")
    with pytest.raises(IsADirectoryError):
        read_table(tmp_path)
    secret = tmp_path / "secret.csv"
    secret.write_bytes(CSV)
    secret.chmod(0)
    if os.geteuid() != 0:  # root may read it all the same
        with pytest.raises(PermissionError, match=r"secret.csv"):
            read_table(secret)


@pytest.mark.parametrize("piece", [b"a,b\n1,2\n", b"a", b"\0", b'"', b","])
def test_a_gzip_bomb_ends_soon_and_in_bounded_memory(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGEST", 1 << 24)
    packed = gzip.compress(piece * ((1 << 26) // len(piece)), compresslevel=1)
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(TableError, match="is larger than 16,777,216 bytes when decompressed: take a sample"):
        read_table(io.BytesIO(packed))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * (1 << 24)
    assert time.process_time() - start < 5


def test_a_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGEST", 30)
    with pytest.raises(TableError, match="is larger than 30 bytes: take a sample"):
        read_table(io.BytesIO(CSV))
