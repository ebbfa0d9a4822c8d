"""The command line as a whole: help, completion, exit codes, and bugs that show as bugs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.running import run

import yuragi
from yuragi import cli

COMMANDS = ("fit", "predict", "evaluate", "compare", "report", "info", "serve", "demo")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, command, "--help")
    assert ended.code == 0
    assert f"Example: yuragi {command} " in " ".join(ended.out.split())


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "--help")
    assert ended.code == 0
    for command in COMMANDS:
        assert f" {command} " in ended.out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"yuragi {yuragi.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("guess",),
        ("fit",),
        ("fit", "train.csv", "-o", "m"),
        ("fit", "train.csv", "--target", "price", "-o", "m", "--task", "sorting"),
        ("fit", "train.csv", "--target", "price", "-o", "m", "--time-budget", "soon"),
        ("fit", "train.csv", "--target", "price", "-o", "m", "--time-budget", "0s"),
        ("fit", "train.csv", "--target", "price", "-o", "m", "--held-out", "1"),
        ("fit", "train.csv", "--target", "price", "-o", "m", "--members", "0"),
        ("fit", "train.csv", "--target", "price", "-o", "m", "--device", "abacus"),
        ("fit", "train.csv", "--target", "price", "-o", "m", "--device", "meta"),
        ("fit", "train.csv", "--target", "price", "-o", "-"),
        ("predict", "price.yuragi", "new.csv", "--level", "1.5"),
        ("predict", "price.yuragi", "new.csv", "--samples", "0"),
        ("predict", "price.yuragi", "new.csv", "--json"),
        ("report", "price.yuragi", "new.csv", "-o", "r.html", "--lang", "fr"),
        ("demo", "--estimator", "best"),
        ("demo", "--out", "picture.doc"),
    ],
    ids=" ".join,
)
def test_a_command_that_is_given_wrongly_ends_with_2(
    arguments: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    ended = run(capsys, *arguments)
    assert ended.code == 2
    assert "Error" in ended.err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_unexpected_exception_is_not_hidden(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("yuragi.tables.model.TableModel.predict_table", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["predict", "price.yuragi", "new.csv"])


def test_a_value_error_that_nobody_foresaw_is_not_hidden(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("yuragi.tables.model.TableModel.predict_table", broken)
    with pytest.raises(ValueError, match="a bug"):
        cli.main(["predict", "price.yuragi", "new.csv"])


def test_too_little_memory_is_told_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("yuragi.tables.model.TableModel.predict_table", full)
    ended = run(capsys, "predict", "price.yuragi", "new.csv")
    assert (ended.code, ended.err) == (1, "yuragi: there is not enough memory: take a sample of the table\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    environment = {
        **os.environ,
        "_YURAGI_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "yuragi ev",
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": "yuragi ev",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run(
        [sys.executable, "-m", "yuragi.cli"], capture_output=True, text=True, env=environment, check=True
    )
    assert "evaluate" in done.stdout
    assert "predict" not in done.stdout


def test_importing_the_library_draws_in_no_optional_dependency() -> None:
    code = "import sys, yuragi; print([m for m in ('pandas', 'matplotlib', 'typer', 'rich', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_and_completion_load_no_more_than_they_need() -> None:
    code = "import sys, yuragi.cli; print([m for m in ('pandas', 'matplotlib', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
