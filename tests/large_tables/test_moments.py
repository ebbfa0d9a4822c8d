"""Moments of parts add up to those of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from yuragi.large_tables.moments import Moments


@pytest.mark.parametrize("shift", [0.0, 1e9])
def test_parts_add_up_to_the_whole(shift: float) -> None:
    random = np.random.default_rng(0)
    values = shift + random.normal(size=(1000, 3)) * [1.0, 10.0, 0.01]
    values[random.random(values.shape) < 0.1] = np.nan
    found = Moments.of(values[:0])
    for part in np.split(values, [1, 2, 50, 51, 700]):
        found = found.plus(Moments.of(part))
    np.testing.assert_array_equal(found.count, (~np.isnan(values)).sum(0))
    np.testing.assert_allclose(found.mean, np.nanmean(values, 0), rtol=1e-14)
    rounding = 1e-16 * shift / np.nanstd(values, 0)
    assert (np.abs(found.std / np.nanstd(values, 0) - 1) < 1e-12 + rounding).all()


def test_a_repeated_value() -> None:
    some = Moments.of(np.array([[1.0], [4.0]]))
    filled = some.plus(Moments.repeated(np.array([2.0]), np.array([3.0])))
    values = np.array([1.0, 4.0, 2.0, 2.0, 2.0])
    assert filled.mean.item() == values.mean()
    assert filled.std.item() == pytest.approx(values.std())
    empty = Moments.repeated(np.array([2.0]), np.array([0.0]))
    assert (empty.mean.item(), empty.std.item()) == (0.0, 0.0)
