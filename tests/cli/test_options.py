"""Values of options: durations, shares, levels, devices."""

from __future__ import annotations

import pytest
import torch
import typer

from yuragi.cli import options


def test_durations() -> None:
    assert [options.seconds(text) for text in ("60s", "5m", "1h", "90", "0.5h", " 2m ")] == [
        60,
        300,
        3600,
        90,
        1800,
        120,
    ]
    for text in ("", "s", "5d", "-5s", "1e3s", "0", "five", "1h30m", "9" * 400):
        with pytest.raises(typer.BadParameter, match="no duration: give seconds, minutes or hours"):
            options.seconds(text)


def test_shares_and_levels() -> None:
    assert options.share(0) == 0
    assert options.level(0.9) == 0.9
    for value in (-0.1, 1.0, float("nan")):
        with pytest.raises(typer.BadParameter, match="no share of the rows"):
            options.share(value)
    for value in (0.0, 1.0, 0.9999999999999999, float("nan")):
        with pytest.raises(typer.BadParameter, match="no level of an interval"):
            options.level(value)


def test_devices() -> None:
    assert options.device("cpu") == torch.device("cpu")
    assert options.device("auto").type in ("cpu", "cuda", "mps")
    for name in ("abacus", "meta", "", "cpu:x"):
        with pytest.raises(typer.BadParameter, match="device"):
            options.device(name)
