"""Tables in blocks, several files and patterns, from the command line."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.cli.running import run
from tests.made_up_tables import model

from yuragi.tables import load_table_model

QUICK = ("--posterior", "anchored", "--members", "2", "--epochs", "8")


def parts(folder: Path, name: str, count: int = 3) -> None:
    frame = pd.read_csv(folder / name)
    for place, rows in enumerate(np.array_split(np.arange(len(frame)), count)):
        frame.iloc[rows].to_csv(folder / f"part-{place}.csv", index=False)


def test_fit_in_blocks_says_so_and_writes_a_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "fit", "train.csv", "-t", "price", "-o", "m.yuragi", "--stream", *QUICK)
    assert ended.code == 0, ended.err
    assert "note: the table is read in blocks: as --stream says" in ended.err
    assert "price: a regression, from 5 columns of 80 rows" in ended.out
    fitted = load_table_model("m.yuragi")
    assert fitted.about["data"]["sha256"] == hashlib.sha256(Path("train.csv").read_bytes()).hexdigest()
    assert fitted.about["rows"]["in the sample"] == 80
    for command in (("evaluate", "m.yuragi", "test.csv"), ("info", "m.yuragi"), ("predict", "m.yuragi", "new.csv")):
        assert run(capsys, *command).code == 0
    assert run(capsys, "report", "m.yuragi", "test.csv", "-o", "r.html").code == 0


def test_the_size_decides(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yuragi.large_tables.opening.LARGEST", 1000)
    fit = ("fit", "train.csv", "-t", "price", "-o", "m.yuragi", *QUICK)
    found = json.loads(run(capsys, *fit, "--json").out)
    size = Path("train.csv").stat().st_size
    assert found["notes"] == [f"the table is read in blocks: it has {size:,} bytes, and up to 1,000 are read whole"]
    assert json.loads(run(capsys, *fit, "--json", "--in-memory").out)["notes"] == []
    monkeypatch.setattr("yuragi.large_tables.opening.CELLS", 100)
    monkeypatch.setattr("yuragi.large_tables.opening.LARGEST", 10_000)
    notes = json.loads(run(capsys, *fit, "--json").out)["notes"]
    assert notes == ["the table is read in blocks: it has about 486 cells, and up to 100 are read whole"]
    pd.read_csv("train.csv").to_parquet("train.parquet")
    notes = json.loads(run(capsys, *fit[:1], "train.parquet", *fit[2:], "--json").out)["notes"]
    assert notes == ["the table is read in blocks: it has about 480 cells, and up to 100 are read whole"]


def test_a_pipe_is_read_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("pipe")
    data = Path("new.csv").read_bytes()
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(data))
    writer.start()
    ended = run(capsys, "predict", "price.yuragi", "pipe", "-o", "out.csv")
    writer.join()
    assert ended.out == "predicted price for 12 rows; wrote out.csv\n"


def test_columns_of_the_same_name_are_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("train.csv").read_text()
    Path("train.csv").write_text(text.replace("colour", "size", 1))
    ended = run(capsys, "fit", "train.csv", "-t", "price", "-o", "m.yuragi", "--stream", *QUICK)
    assert ended.code == 0
    assert "note: train.csv: columns have the same name: 'size' became 'size.1'" in ended.err


@pytest.mark.parametrize("given", [("part-*.csv",), ("part-0.csv", "part-1.csv", "part-2.csv")])
def test_several_files_are_one_table(given: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts(folder, "train.csv")
    fitted = json.loads(run(capsys, "fit", *given, "-t", "price", "-o", "several.yuragi", *QUICK, "--json").out)
    one = json.loads(run(capsys, "fit", "train.csv", "-t", "price", "-o", "one.yuragi", *QUICK, "--json").out)
    assert (fitted["scores"], fitted["notes"]) == (one["scores"], [])
    parts(folder, "new.csv")
    for stream in ("--stream", "--in-memory"):
        ended = run(capsys, "predict", "price.yuragi", *given, "-o", "out.csv", stream)
        assert ended.out == "predicted price for 12 rows; wrote out.csv\n"
        expected = model().predict_table(pd.read_csv("new.csv"))
        pd.testing.assert_frame_equal(pd.read_csv("out.csv"), expected, check_dtype=False, rtol=1e-12, atol=0)


def test_a_folder_for_a_file_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts(folder, "new.csv")
    ended = run(capsys, "predict", "price.yuragi", "part-*.csv", "-o", "out/", "--json")
    assert json.loads(ended.out)["rows"] == 12
    assert sorted(path.name for path in Path("out").iterdir()) == ["part-0.csv", "part-1.csv", "part-2.csv"]
    ended = run(capsys, "predict", "price.yuragi", "part-*.csv", "--stream")  # to standard output
    predicted = pd.concat([pd.read_csv(path) for path in sorted(Path("out").iterdir())])
    assert ended.out.count("\n") == 13
    assert ended.out == predicted.to_csv(index=False)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("part-*.parquet", "-o", "out.csv"), 1, "no file has a name like part-*.parquet"),
        (("new.csv", "-", "-o", "out.csv"), 2, "standard input is one table"),
        (("-", "-o", "out.csv", "--stream"), 2, "standard input is one table"),
        (("new.csv", "-o", "out/", "--in-memory"), 2, "leave --in-memory out"),
        (("new.csv", "-o", "out.csv", "--engine", "ray"), 1, "give it a folder, as out.csv/"),
        (("new.csv", "-o", "out.csv", "--stream", "--sheet", "a"), 2, "--sheet is of one workbook"),
        (("new.csv", "new.csv", "-o", "out.csv"), 1, "new.csv is given twice"),
        (("new.csv", "test.csv", "-o", "out.csv"), 1, "test.csv is no part of the table of new.csv"),
    ],
)
def test_what_is_refused(
    arguments: tuple[str, ...], code: int, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run(capsys, "predict", "price.yuragi", *arguments)
    assert ended.code == code
    assert message in " ".join(ended.err.replace("│", " ").split())
    assert not Path("out.csv").exists()
