"""Text tables in blocks: the same table as when it is read at once."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from yuragi.large_tables import open_files, text_files
from yuragi.tables import TableError, TableWarning, read_table

TABLES = {
    "plain": "a,b,c\n1,2.5,x\n2,,y\n3,4e5,NA\n",
    "codes": "a,b\n007,1\n008,2\n9,3\n",
    "codes at the end": "a,b\n1,1\n2,2\n09,3\n",
    "whole beside missing": "a;b\n1;2\n;3\n4;5\n",
    "decimal commas": "a;b;c\n1,5;1.234;x\n2,25;2.345;y\n",
    "decimal points": "a;b\n1.5;1,234\n2.25;2,345\n",
    "open": "a;b\n1.234;x\n2.345;y\n",
    "units": "a,b\n3%,1\n12.5%,2\n",
    "plus and groups": "a;b\n+1;1'000.5\n-2;2'000\n",
    "long": "a,b\n1234567890123456789,1\n12,2\n",
    "long beside a fraction": "a\n1234567890123456789\n1.5\n",
    "full width": "a,b\n１２,x\n３,y\n",
    "infinite": "a\ninf\n1.5\n-Infinity\n",
    "quotes": 'a,b\n"1,5",x\n"line\nbreak",""\n"say ""hi""",z\n',
    "spaces": 'a, b\n 1, x\n2 ,  "y y"\n3," z"\n',
    "a quote within": 'a,b\n5" pipe,1\n7" pipe,2\n',
    "short rows": "a,b,c\n1,2,3\n4\n5,6\n",
    "a delimiter at the end": "a,b,\n1,2,\n3,4,\n",
    "without a name": "a,,b\n1,2,3\n4,5,6\n",
    "empty lines": "\n\na,b\n1,2\n\n3,4\n\n",
    "carriage returns": "a,b\r\n1,x\r\n2,y\r\n",
    "all missing": "a,b\n,1\nNA,2\n",
    "words": "a,b\n1,x\n?,y\n2.5,z\n",
    "truth": "a\ntrue\nfalse\n",
    "no line break at the end": "a,b\n1,2\n3,4",
}


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES.keys())
@pytest.mark.parametrize("block", [1, 16, 1 << 22])
def test_a_table_in_blocks_is_the_table(text: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "BLOCK", block)
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    files = open_files(path)
    pd.testing.assert_frame_equal(files.read(), read_table(path))
    if block == 1 and "\n\n" not in text and '"' not in text:
        assert [part.rows for part in files.blocks] == [1] * len(files)
    frames = [files.frame(table) for part in reversed(files.blocks) for table in files.tables(part)]
    pd.testing.assert_frame_equal(pd.concat(frames[::-1], ignore_index=True), read_table(path))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "cp1252"])
def test_encodings(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "BLOCK", 16)
    text = "名,値\n気温が高い日,1\n雨の日,2\n" if encoding != "cp1252" else "nom,décès\nété,1\nhiver,2\n"
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode(encoding))
    pd.testing.assert_frame_equal(open_files(path).read(), read_table(path))


def test_random_numbers_keep_every_bit(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=3000) * 10.0 ** random.integers(-300, 300, 3000)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    np.testing.assert_array_equal(open_files(tmp_path / "t.csv").read()["a"], frame["a"])


def test_files_of_a_pattern_are_one_table(tmp_path: Path) -> None:
    # what one file alone would read as a number is text where another one has text
    for part, text in enumerate(["a,b\n1,1\n2,\n", "a,b\nx,3\n", "a,b\n3,4.5\n"]):
        (tmp_path / f"part-{part}.csv").write_text(text)
    (tmp_path / "whole.csv").write_text("a,b\n1,1\n2,\nx,3\n3,4.5\n")
    files = open_files(tmp_path / "part-*.csv")
    pd.testing.assert_frame_equal(files.read(), read_table(tmp_path / "whole.csv"))
    assert [block.first for block in files.blocks] == [0, 2, 3]
    assert [len(files.of_file(place)) for place in range(3)] == [2, 1, 1]
    assert files.sha256() == open_files([tmp_path / f"part-{part}.csv" for part in range(3)]).sha256()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"a,b\n1,2\n3,4,5\n", r"line 3 has 3 fields and the header 2.*counted from line 1 on"),
        (b"1,2\n3,4\n", "no header: its first line holds numbers only"),
        (b"a,b\n", "has a header and no rows"),
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,b\n1,\0\n", "NUL bytes"),
        (b'a,b\n1,"2\n', "never closed"),
        (b"\x1f\x8b\x08\x00", "compressed with gzip, and can only be read whole"),
        ("a,b\n1,2\n".encode("utf-16"), "which is not read in blocks: save it as UTF-8"),
    ],
)
def test_what_is_refused(contents: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(contents)
    with pytest.raises(TableError, match=message):
        open_files(tmp_path / "t.csv")


def test_a_late_row_that_is_too_long_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "BLOCK", 16)
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * 100 + "1,2,3\n")
    with pytest.raises(TableError, match="has 3 fields and the header 2") as refused:
        open_files(tmp_path / "t.csv")
    counted = re.search(r"line (\d+) has.*counted from line (\d+) on", str(refused.value))
    assert counted is not None
    assert int(counted[1]) + int(counted[2]) - 1 == 102


def test_other_text_than_at_its_beginning_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "_START", 64)
    (tmp_path / "t.csv").write_bytes(b"a,b\n" + b"x,2\n" * 100 + "é,3\n".encode("cp1252"))
    with pytest.raises(TableError, match="is not text in utf-8, which its beginning is: give its encoding"):
        open_files(tmp_path / "t.csv")
    assert open_files(tmp_path / "t.csv", encoding="cp1252").read()["a"].iloc[-1] == "é"


def test_files_of_other_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "2.csv").write_text("a,c\n1,2\n")
    with pytest.raises(TableError, match=r"2\.csv is no part of the table of .*1\.csv: it has not 'b' and also 'c'"):
        open_files(tmp_path / "*.csv")
    (tmp_path / "2.csv").write_text("b,a\n1,2\n")
    with pytest.raises(TableError, match="it has the same columns in another order"):
        open_files(tmp_path / "*.csv")
    with pytest.raises(TableError, match=r"no file has a name like .*\*\.parquet"):
        open_files(tmp_path / "*.parquet")
    with pytest.raises(TableError, match=r"1\.csv is given twice"):
        open_files([tmp_path / "1.csv", tmp_path / "1.csv"])
    with pytest.raises(FileNotFoundError):
        open_files(tmp_path / "3.csv")


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n")
    files = open_files(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TableError, match="has changed while it was being read"):
        files.read()


def test_columns_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,a\n1,2\n")
    with pytest.warns(TableWarning, match=r"'a\.1'"):
        assert open_files(tmp_path / "t.csv").names == ("a", "a.1")
