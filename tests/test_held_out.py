"""The inflation of a scale, as a network of more rows needs it; what is held out is tested with the selection."""

from __future__ import annotations

import math

import pytest

from yuragi.held_out import of_all_rows


@pytest.mark.parametrize("rows", [100, 1000])
@pytest.mark.parametrize("parameters", [5, 10, 20])
def test_the_inflation_of_more_rows_is_between_that_of_least_squares_and_none(rows: int, parameters: int) -> None:
    # p columns of standard normals and N rows: E|y − ŷ|² is σ²(1 + p/(N − p − 1)) on other rows, σ²(1 − p/N) on its own
    def exact(rows: int) -> float:
        return math.sqrt((1 + parameters / (rows - parameters - 1)) / (1 - parameters / rows))

    assert 1 < of_all_rows(exact(round(0.8 * rows)), 0.8) < exact(rows)


def test_what_the_fit_gains_on_its_own_rows_falls_with_the_square_of_their_number() -> None:
    gain = of_all_rows(1.5, 0.8) ** 2 - 1
    assert gain == pytest.approx(0.64 * (1.5**2 - 1))
    assert of_all_rows(1.5, 1.0) == 1.5
    assert of_all_rows(1.0, 0.8) == 1.0
    assert 0.5 < of_all_rows(0.5, 0.8) < 1  # one that is less than 1 comes nearer to 1 too
