"""The command line as a user meets it: results, messages, exit codes, and files left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from yuragi import cli


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60)})
    frame.assign(y=frame["a"] * 3 + rng.normal(size=60)).to_csv("train.csv", index=False)
    frame.head(7).to_csv("new.csv", index=False)
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.main(list(arguments))
    code = stop.value.code
    return code if isinstance(code, int) else 0


FIT = ("fit", "train.csv", "--target", "y", "-o", "m.yuragi", "--members", "2", "--hidden", "4", "--epochs", "150")


def test_fit_predict_evaluate_info(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*FIT) == 0
    assert run("predict", "m.yuragi", "new.csv", "-o", "out.csv") == 0
    out = pd.read_csv("out.csv")
    added = [f"y_{name}" for name in ("mean", "std", "epistemic", "aleatoric", "lower", "upper")]
    assert list(out.columns) == ["a", "b", *added]
    assert len(out) == 7
    assert run("evaluate", "m.yuragi", "train.csv") == 0
    assert run("info", "m.yuragi") == 0
    printed = capsys.readouterr().out
    for word in ("RMSE", "mean log-likelihood", "90 % coverage", "CRPS", "Anchored", "features"):
        assert word in printed
    assert "\x1b" not in printed  # no control codes where the output is not a terminal


def test_the_same_command_gives_the_same_file(folder: Path) -> None:
    run(*FIT)
    first = Path("m.yuragi").read_bytes()
    run(*FIT)
    assert Path("m.yuragi").read_bytes() == first


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "no table": (("fit", "none.csv", "--target", "y", "-o", "x.yuragi"), "none.csv"),
    "no target": (("fit", "train.csv", "--target", "z", "-o", "x.yuragi"), "'z' is missing"),
    "constant": (("fit", "flat.csv", "--target", "y", "-o", "x.yuragi"), "constant"),
    "text": (("fit", "text.csv", "--target", "y", "-o", "x.yuragi"), "column 'a' is not numeric"),
    "missing value": (("fit", "hole.csv", "--target", "y", "-o", "x.yuragi"), "column 'a' has 1 missing"),
    "no folder": (("fit", "train.csv", "--target", "y", "-o", "nowhere/x.yuragi"), "no such folder"),
    "lost column": (("predict", "m.yuragi", "short.csv", "-o", "x.csv"), "column 'b' is missing"),
    "no samples": (("predict", "m.yuragi", "new.csv", "-o", "x.csv", "--samples", "0"), "--samples"),
    "bad level": (("predict", "m.yuragi", "new.csv", "-o", "x.csv", "--level", "1.5"), "level"),
    "not a model": (("predict", "new.csv", "new.csv", "-o", "x.csv"), "not a file that yuragi"),
    "no model": (("predict", "none.yuragi", "new.csv", "-o", "x.csv"), "none.yuragi"),
    "no target to score": (("evaluate", "m.yuragi", "new.csv"), "'y' is missing"),
    "bad option": (("demo", "--estimator", "best"), "best"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_with_one_message_and_no_file(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = pd.read_csv("train.csv")
    train.assign(y=1.0).to_csv("flat.csv", index=False)
    train.assign(a="red").to_csv("text.csv", index=False)
    train.assign(a=train["a"].where(train.index != 3)).to_csv("hole.csv", index=False)
    pd.read_csv("new.csv").drop(columns="b").to_csv("short.csv", index=False)
    if "m.yuragi" in BAD[name][0]:
        run(*FIT)
    Path("x.csv").write_text("old")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    capsys.readouterr()
    arguments, message = BAD[name]
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_demo_writes_the_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("demo", "--article-only", "--epochs", "3", "--draws", "5", "--out", "d.png", "--estimator", "local") == 0
    assert Path("d.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    for word in ("Python", "PyTorch", "device", "in the gap", "at the edges", "RMSE"):
        assert word in printed


def test_an_unexpected_exception_is_not_hidden(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(cli, "read_csv", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["fit", "train.csv", "--target", "y", "-o", "x.yuragi"])


def test_importing_the_library_draws_in_no_optional_dependency() -> None:
    code = "import sys, yuragi; print([m for m in ('pandas', 'matplotlib', 'typer', 'rich', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
