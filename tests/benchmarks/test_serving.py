"""The benchmark of serving: its table is whole, and an answer that is another's ends it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("serving")


QUICK = ["--requests", "6", "--clients", "1", "3", "--rows", "2", "--epochs", "2"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
def test_the_table_is_whole(benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = benchmark.main([*QUICK, "--out", str(tmp_path / "serving.md")])
    assert [line.split("|")[1].strip() for line in lines[2:5]] == [
        "the model alone",
        "over HTTP, 1 client",
        "over HTTP, 3 clients",
    ]
    assert all(float(cell) > 0 for line in lines[2:5] for cell in line.split("|")[3:6])
    assert (tmp_path / "serving.md").read_text().splitlines() == lines
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
def test_answers_that_are_mixed_up_end_it(benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = benchmark.over_http

    def mixed_up(*arguments: Any) -> Any:
        times, means, seconds = real(*arguments)
        return times, means[::-1], seconds

    monkeypatch.setattr(benchmark, "over_http", mixed_up)
    with pytest.raises(SystemExit, match="0 of 6 requests lost, or answers mixed up"):
        benchmark.main(QUICK)
