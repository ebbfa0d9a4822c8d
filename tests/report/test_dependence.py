import numpy as np
import pytest
from tests.report.made_up import LinearModel, towns

from yuragi.report.dependence import dependences, influences


def test_partial_dependence_of_a_linear_function_is_its_line() -> None:
    """f = slope·a + offset + 3·[north]: the curve over `a` is that line, with north's share of the rows added."""
    train, frame = towns(200, 0), towns(40, 1)
    model = LinearModel(train, "y")
    slope, offset = model.draws.numpy()
    numbers, levels, unused = dependences(model, frame, model.schema.columns, seed=0)

    at = np.array(numbers.at, dtype=np.float64)
    lines = slope[:, None] * at + offset[:, None]
    share = (frame["town"] == "north").mean()
    np.testing.assert_allclose(numbers.mean[:, 0], lines.mean(0) + 3 * share)
    np.testing.assert_allclose(numbers.epistemic[:, 0], lines.std(0))
    assert numbers.total is not None
    np.testing.assert_allclose(numbers.total, np.hypot(lines.std(0), 0.5))

    named = dict(zip(levels.at, levels.mean[:, 0], strict=True))
    assert named["north"] - named["south"] == pytest.approx(3)
    assert np.ptp(unused.mean) == pytest.approx(0, abs=1e-12)


def test_influence_is_the_change_when_a_column_is_shuffled() -> None:
    """The mean square difference of two independent values is twice their variance."""
    train, frame = towns(200, 0), towns(200, 1)
    model = LinearModel(train, "y")
    found = {one.column.name: one.size for one in influences(model, frame, seed=0)}
    slope = float(model.draws[0].mean())
    assert found["a"] == pytest.approx(abs(slope) * np.sqrt(2 * frame["a"].var()), rel=0.15)
    share = (frame["town"] == "north").mean()
    assert found["town"] == pytest.approx(3 * np.sqrt(2 * share * (1 - share)), rel=0.15)
    assert found["unused"] == 0
    assert list(found.values()) == sorted(found.values(), reverse=True)
