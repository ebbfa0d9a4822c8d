import numpy as np
import pytest
import torch
from tests.report.made_up import LinearModel, towns

from yuragi.report.rows import LEVELS, coverage, intervals, predicted_numbers


def test_the_summaries_are_those_of_the_prediction() -> None:
    train, frame = towns(200, 0), towns(300, 1)
    model = LinearModel(train, "y")
    rows = predicted_numbers(model, frame, seed=0)
    slope, offset = model.draws.numpy()
    f = slope[:, None] * frame["a"].to_numpy() + offset[:, None] + 3 * (frame["town"] == "north").to_numpy()
    np.testing.assert_allclose(rows.mean, f.mean(0))
    np.testing.assert_allclose(rows.epistemic, f.std(0))
    np.testing.assert_allclose(rows.std, np.hypot(f.std(0), 0.5))
    np.testing.assert_allclose(rows.error, frame["y"] - f.mean(0))


@pytest.mark.parametrize("level", LEVELS)
def test_coverage_is_the_share_inside_the_intervals(level: float) -> None:
    train, frame = towns(200, 0), towns(300, 1)
    model = LinearModel(train, "y")
    pit = predicted_numbers(model, frame, seed=0).pit
    lower, upper = intervals(model, frame, np.arange(300), level, seed=0)
    inside = (lower <= frame["y"].to_numpy()) & (frame["y"].to_numpy() <= upper)
    assert coverage(pit, level) == pytest.approx(inside.mean(), abs=1e-9)


def test_rows_without_a_true_value_are_predicted_and_not_scored() -> None:
    train, frame = towns(200, 0), towns(50, 1)
    frame.loc[[3, 7], "y"] = [np.nan, np.inf]
    rows = predicted_numbers(LinearModel(train, "y"), frame, seed=0)
    assert np.flatnonzero(~rows.known).tolist() == [3, 7]
    assert np.isfinite(rows.mean).all()
    assert np.isnan(rows.log_prob[[3, 7]]).all()
    assert torch.isfinite(torch.from_numpy(np.delete(rows.log_prob, [3, 7]))).all()
