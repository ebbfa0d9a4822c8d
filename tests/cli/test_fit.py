"""`yuragi fit`: the model's file, what is said of its error bars, and Ctrl-C."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from tests.cli.running import run, started

from yuragi.tables import load_table_model

QUICK = ("--posterior", "anchored", "--members", "2", "--epochs", "8")
FIT = ("fit", "train.csv", "--target", "price", "-o", "m.yuragi", *QUICK)


def test_what_is_printed_and_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.read_csv("train.csv").assign(code=range(80), flat=7).to_csv("train.csv", index=False)
    ended = run(capsys, *FIT)
    assert ended.code == 0
    for words in (
        "price: a regression, from 5 columns of 80 rows",
        "on 16 rows that were held out",
        "this model",
        "linear regression",
        "constant Gaussian",
        "log-likelihood",
        "90 % intervals hold",
        "calibration error",
        "The model is ",
        "wrote m.yuragi",
    ):
        assert words in ended.out
    assert "note: column 'code' is left out (identifier: a running number from 0 to 79)" in ended.err
    assert "note: column 'flat' is left out (constant: 7 in every row)" in ended.err
    assert "still improving: give it more --epochs" in ended.err
    assert "\x1b" not in ended.out + ended.err  # no control codes where the output is no terminal
    model = load_table_model("m.yuragi")
    assert model.about["data"]["sha256"] == hashlib.sha256(Path("train.csv").read_bytes()).hexdigest()
    assert model.about["settings"]["members"] == 2


def test_of_classes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "fit", "test.csv", "--target", "kind", "-o", "m.yuragi", *QUICK)
    assert ended.code == 0
    for words in ("a classification into 2 classes", "accuracy", "(ECE)", "logistic regression", "class frequencies"):
        assert words in ended.out


def test_for_machines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, *FIT, "--json", "--seed", "3", "--held-out", "0.3")
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out)
    assert found["scores"]["rows"] == found["rows"]["held out"] == 24
    assert (found["target"], found["task"], found["seed"], found["interrupted"]) == ("price", "regression", 3, False)
    assert found["features"] == ["size", "colour", "shop", "open", "day"]
    assert len(found["verdict"]) == 3
    again = json.loads(run(capsys, *FIT, "--json", "--seed", "3", "--held-out", "0.3").out)
    assert again["scores"] == found["scores"]


def test_without_rows_held_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, *FIT, "--held-out", "0")
    assert ended.code == 0
    assert "No rows were held out" in ended.out


def test_the_task_can_be_given(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv("train.csv").assign(rank=[number % 4 for number in range(80)])
    frame.to_csv("ranks.csv", index=False)
    command = ("fit", "ranks.csv", "--target", "rank", "-o", "m.yuragi", *QUICK, "--json")
    assert json.loads(run(capsys, *command).out)["task"] == "classification"
    assert json.loads(run(capsys, *command, "--task", "regression").out)["task"] == "regression"


def test_from_standard_input_within_a_time(folder: Path) -> None:
    process = started(folder, "fit", "-", "-t", "price", "-o", "m.yuragi", "--time-budget", "0.5s", "--json")
    out, err = process.communicate(Path("train.csv").read_bytes(), timeout=120)
    assert process.returncode == 0, err.decode()
    found = json.loads(out)
    assert found["data"]["sha256"] == hashlib.sha256(Path("train.csv").read_bytes()).hexdigest()
    assert found["settings"]["time_budget"] == 0.5
    assert Path("m.yuragi").exists()


# as the command line, but that it says when Ctrl-C has been taken over
def test_a_fit_continued_from_its_checkpoints(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = (*FIT, "--checkpoint", "run")
    assert run(capsys, *quick).code == 0
    first = load_table_model("m.yuragi").predict(pd.read_csv("new.csv"))
    assert len(list(Path("run").iterdir())) == 1
    Path("run/checkpoint-00000002.yuragi").write_bytes(b"damaged")
    ended = run(capsys, *quick, "--resume")
    assert ended.code == 0
    assert "note: run/checkpoint-00000002.yuragi is not a file" in ended.err
    assert "continues from run/checkpoint-00000001.yuragi" in ended.err
    again = load_table_model("m.yuragi").predict(pd.read_csv("new.csv"))
    assert first.samples.equal(again.samples)


def test_checkpoints_that_cannot_be_continued_are_told_of(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, *FIT, "--resume")
    assert ended.code == 2
    assert "--resume needs --checkpoint" in ended.err
    assert run(capsys, *FIT, "--checkpoint", "run").code == 0
    ended = run(capsys, *FIT, "--checkpoint", "run")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "run has checkpoints of a fit already: continue it with resume=True" in ended.err
    ended = run(capsys, *FIT, "--checkpoint", "run", "--resume", "--seed", "5")
    assert ended.code == 1
    assert "is of another fit: " in ended.err


WRAPPED = """
import sys, time
from yuragi.cli import interrupt, main
enter = interrupt.Interrupt.__enter__
def entered(self):
    enter(self)
    print("ready", flush=True)
    return self
interrupt.Interrupt.__enter__ = entered
"""
ENDLESS = ("fit", "train.csv", "-t", "price", "-o", "m.yuragi", "--posterior", "anchored", "--epochs", "10000000")


def interrupted(folder: Path, before: str, times: int) -> tuple[int, str, str]:
    """Run the endless fit, press Ctrl-C so often, a second apart, and see how it ends."""
    code = f"{WRAPPED}{before}main(sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *ENDLESS],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for _ in range(times):
        time.sleep(1)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def test_ctrl_c_keeps_what_was_learnt(folder: Path) -> None:
    code, out, err = interrupted(folder, "", times=1)
    assert code == 0, err
    assert "Interrupted: the model is the best so far" in out
    assert "wrote m.yuragi" in out
    model = load_table_model("m.yuragi")
    assert model.about["settings"]["stopped"] == "progress"
    assert model.predict(pd.read_csv("new.csv")).samples.isfinite().all()


def test_a_second_ctrl_c_aborts_and_leaves_no_file(folder: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    # a fit that does not look up
    busy = "import yuragi.tables.fitting as f\nf.fit_tabular = lambda *_, **__: time.sleep(1000)\n"
    code, _, err = interrupted(folder, busy, times=2)
    assert (code, err) == (1, "yuragi: aborted, and no model was written\n")
    assert sorted(path.name for path in folder.iterdir()) == before
