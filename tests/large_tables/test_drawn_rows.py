"""Rows drawn by their numbers: so many, uniformly, the same in any order, and the smaller draw within the larger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from yuragi.large_tables import drawn_rows, open_files
from yuragi.large_tables.drawn_rows import DrawnRows, hashed, read_drawn


@pytest.mark.parametrize("count", [0, 1, 17, 999, 1000, 2000])
def test_as_many_rows_are_drawn_as_were_asked_for(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn_rows, "_AT_ONCE", 64)
    draw = DrawnRows.of(rows=1000, count=count, seed=3)
    held = draw.holds(np.arange(1000))
    assert held.sum() == min(count, 1000)
    random = np.random.default_rng(0).permutation(1000)
    np.testing.assert_array_equal(draw.holds(random), held[random])
    larger = DrawnRows.of(rows=1000, count=count + 50, seed=3).holds(np.arange(1000))
    assert not (held & ~larger).any()


def test_the_draw_is_uniform_and_of_its_seed() -> None:
    rows = np.arange(100_000)
    held = np.stack([DrawnRows.of(100_000, 10_000, seed).holds(rows) for seed in range(2)])
    # in each hundredth of the rows there are 100 ± 9.5
    each = held.reshape(2, 100, 1000).sum(2)
    assert np.abs(each - 100).max() < 5 * np.sqrt(1000 * 0.1 * 0.9)
    # two seeds agree by chance: 1,000 ± 28
    assert abs((held[0] & held[1]).sum() - 1000) < 5 * 28.5
    # neighbours are drawn independently
    assert abs((held[0][1:] & held[0][:-1]).sum() - 1000) < 5 * 30
    assert len(np.unique(hashed(rows, 0))) == len(rows)


def test_drawn_rows_are_read_in_their_order(tmp_path: Path) -> None:
    frame = pd.DataFrame({"row": np.arange(500), "text": [f"t{n}" for n in range(500)]})
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=37)
    draw = DrawnRows.of(500, 40, seed=1)
    numbers, rows = read_drawn(open_files(tmp_path / "t.parquet"), draw)
    np.testing.assert_array_equal(numbers, np.flatnonzero(draw.holds(np.arange(500))))
    pd.testing.assert_frame_equal(rows, frame.iloc[numbers].reset_index(drop=True))
