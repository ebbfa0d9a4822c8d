"""The inflation of a scale, as a network of more rows needs it; what is held out is tested with the selection."""

from __future__ import annotations

import math

import pytest

from yuragi.held_out import of_all_rows


def test_the_inflation_of_more_rows_is_that_of_least_squares() -> None:
    # p columns of standard normals and N rows: E|y − ŷ|² is σ²(1 + p/(N − p − 1)) on other rows, σ²(1 − p/N) on its own
    def exact(rows: int, parameters: int) -> float:
        return math.sqrt((1 + parameters / (rows - parameters - 1)) / (1 - parameters / rows))

    for rows, parameters, tolerance in ((100, 10, 0.005), (100, 20, 0.03), (1000, 10, 1e-4)):
        found = of_all_rows(exact(round(0.8 * rows), parameters), 0.8)
        assert found == pytest.approx(exact(rows, parameters), rel=tolerance)
