"""The benchmark on the UCI sets: every method by the same call, and what could not be run named in its table."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from yuragi.methods import METHODS


@pytest.fixture
def uci(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    threads = torch.get_num_threads()
    yield importlib.import_module("uci")
    torch.set_num_threads(threads)
    for name in ("uci", "machine"):
        del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (80, 2))
    y = 50 + 10 * x[:, 0] + rng.normal(size=80)
    order = [rng.permutation(80) for _ in range(2)]
    splits = {"train_idx": [index[:60] for index in order], "test_idx": [index[60:] for index in order]}
    np.savez(tmp_path / "energy.npz", X=x, y=y, **splits)
    return tmp_path


def test_a_line_is_scored_in_its_own_units(uci: Any, folder: Path) -> None:
    # of noise 1: log-likelihood near −½ log 2πe = −1.42, RMSE near 1
    row = uci.attempt("last_layer", "energy", 1, folder, False, False, 1, 60.0)
    assert isinstance(row, uci.Row)
    assert row.rmse < 2
    assert -2.5 < row.log_likelihood < -1
    assert (row.method, row.name, row.split) == ("last_layer", "energy", 1)


def test_what_cannot_be_run_is_listed_with_the_reason(uci: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def picky(x: Any, y: Any, seed: int, seconds: float | None) -> Any:
        raise ValueError(f"{seconds:g} seconds\nare too few")

    monkeypatch.setitem(uci.METHODS, "svi", picky)
    skipped = [uci.attempt("svi", "energy", split, folder, False, False, 1, 0.5) for split in (0, 1)]
    assert list(uci.left_out(skipped)) == [
        "- svi on energy, splits 0, 1, left out: ValueError: 0.5 seconds are too few"
    ]


def test_all_are_the_methods_of_the_library(uci: Any) -> None:
    assert uci.ALL == ["anchored", *METHODS]
    assert set(uci.ALL) <= set(uci.METHODS)
