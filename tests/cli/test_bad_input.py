"""What can be mended in files ends with exit code 1, one line on standard error, and no file written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.cli.running import run, started

from yuragi.container import with_checksum

FIT = ("fit", "train.csv", "--target", "price", "-o", "x.yuragi")
PREDICT = ("predict", "price.yuragi")
BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "no table": (("fit", "none.csv", "--target", "y", "-o", "x.yuragi"), "No such file or directory: none.csv"),
    "a folder as table": ((*PREDICT, "folder"), "Is a directory: folder"),
    "no target": (("fit", "train.csv", "--target", "cost", "-o", "x.yuragi"), "target column 'cost' is missing"),
    "constant target": (("fit", "flat.csv", "--target", "price", "-o", "x.yuragi"), "constant: 7 in every row"),
    "a target of NaN": (("fit", "nan.csv", "--target", "price", "-o", "x.yuragi"), "has no values in 80 rows"),
    "an infinite target": (("fit", "inf.csv", "--target", "price", "-o", "x.yuragi"), "'price' is inf"),
    "no features": (("fit", "alone.csv", "--target", "price", "-o", "x.yuragi"), "no column to predict from"),
    "empty table": ((*PREDICT, "empty.csv"), "empty.csv is empty: a table needs a header and rows"),
    "a header alone": ((*PREDICT, "header.csv"), "header.csv has a header and no rows"),
    "a picture as table": ((*PREDICT, "picture.csv"), "picture.csv"),
    "no folder": ((*FIT[:-1], "nowhere/x.yuragi"), "no such folder: "),
    "a folder as model": ((*FIT[:-1], "folder"), "is a folder, not a file: "),
    "a folder as output": ((*PREDICT, "new.csv", "-o", "./"), "is the folder of the table itself: "),
    "no folder for the report": (("report", "price.yuragi", "new.csv", "-o", "nowhere/r.html"), "no such folder: "),
    "no folder for the picture": (("demo", "--out", "nowhere/d.png"), "no such folder: "),
    "an unknown suffix": ((*PREDICT, "new.csv", "-o", "x.doc"), "x.doc: a table is written as .csv, "),
    "a lost column": ((*PREDICT, "short.csv"), "1 column of the training table is missing: 'colour'"),
    "another kind of column": (
        (*PREDICT, "words.csv"),
        "column 'size' holds numbers in the training table, and here 'big'",
    ),
    "a table as model": (("predict", "train.csv", "new.csv"), "train.csv is not a file that yuragi.save wrote"),
    "a model as table": ((*PREDICT, "kind.yuragi"), "kind.yuragi"),
    "no model": (("predict", "none.yuragi", "new.csv"), "No such file or directory: none.yuragi"),
    "a damaged model": (("predict", "damaged.yuragi", "new.csv"), "damaged.yuragi is damaged: its checksum is wrong"),
    "half a model": (("info", "half.yuragi"), "half.yuragi is damaged: "),
    "a newer model": (("info", "newer.yuragi"), "newer.yuragi is of file version 2, and this yuragi reads up to 1"),
    "no target to score": (("evaluate", "price.yuragi", "new.csv"), "target column 'price' is missing"),
    "an unknown encoding": ((*PREDICT, "new.csv", "--encoding", "klingon"), "klingon"),
    "an unknown encoding to write": ((*PREDICT, "new.csv", "-o", "x.csv", "--output-encoding", "klingon"), "klingon"),
    "no such sheet": ((*PREDICT, "new.xlsx", "--sheet", "Two"), "has no sheet 'Two'"),
}


def make_bad(folder: Path) -> None:
    train, new = pd.read_csv("train.csv"), pd.read_csv("new.csv")
    train.assign(price=7).to_csv("flat.csv", index=False)
    train.assign(price=np.nan).to_csv("nan.csv", index=False)
    train.assign(price=train["price"].where(train.index > 0, np.inf)).to_csv("inf.csv", index=False)
    train[["price"]].to_csv("alone.csv", index=False)
    new.drop(columns="colour").to_csv("short.csv", index=False)
    new.assign(size="big").to_csv("words.csv", index=False)
    new.to_excel("new.xlsx", index=False)
    Path("empty.csv").write_bytes(b"")
    Path("header.csv").write_text("size,colour,shop,open,day\n")
    Path("picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4)
    Path("folder").mkdir()
    model = Path("price.yuragi").read_bytes()
    Path("damaged.yuragi").write_bytes(model[:-10] + bytes([model[-10] ^ 1]) + model[-9:])
    Path("half.yuragi").write_bytes(model[: len(model) // 2])
    newer = model.replace(rb"\"version\": 1", rb"\"version\": 2", 1)
    Path("newer.yuragi").write_bytes(with_checksum(newer))
    for name in ("x.yuragi", "x.csv", "x.doc"):
        Path(name).write_text("old")


def contents(folder: Path) -> dict[str, bytes | None]:
    return {path.name: path.read_bytes() if path.is_file() else None for path in folder.iterdir()}


@pytest.mark.parametrize("name", BAD)
def test_it_is_told_of_and_nothing_is_written(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_bad(folder)
    before = contents(folder)
    arguments, message = BAD[name]
    ended = run(capsys, *arguments)
    assert ended.code == 1
    assert ended.out == ""
    assert message in ended.err
    assert ended.err.startswith("yuragi: ")
    assert ended.err.count("\n") == 1
    assert contents(folder) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "closed").mkdir(mode=0o500)
    ended = run(capsys, "predict", "price.yuragi", "new.csv", "-o", "closed/out.csv")
    assert ended.code == 1
    assert "the folder cannot be written to: " in ended.err


def test_a_folder_that_the_system_says_cannot_be_written_to(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yuragi.container.os.access", lambda *_: False)
    ended = run(capsys, "predict", "price.yuragi", "new.csv", "-o", "out.csv")
    assert (ended.code, ended.err) == (1, f"yuragi: the folder cannot be written to: {folder}\n")


def test_empty_standard_input(folder: Path) -> None:
    process = started(folder, "predict", "price.yuragi", "-")
    out, err = process.communicate(b"", timeout=120)
    assert (process.returncode, out) == (1, b"")
    assert err == b"yuragi: standard input is empty: a table needs a header and rows\n"


def test_names_are_not_taken_for_markup_or_control_codes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = "[bold]\x1b[31m:smile:"
    pd.read_csv("train.csv").rename(columns={"price": odd}).to_csv("odd.csv", index=False)
    command = ("fit", "odd.csv", "--target", odd, "-o", "m.yuragi", "--members", "1", "--epochs", "1")
    ended = run(capsys, *command, "--posterior", "anchored")
    assert ended.code == 0
    assert "\x1b" not in ended.out + ended.err
    assert r"[bold]\x1b[31m:smile:: a regression" in ended.out
    ended = run(capsys, "info", "m.yuragi")
    assert "\x1b" not in ended.out
    assert "[bold]" in ended.out
