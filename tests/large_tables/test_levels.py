"""Levels as they come: their counts, and scikit-learn's mean targets."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import TargetEncoder

from yuragi.large_tables import levels
from yuragi.large_tables.levels import FOLDS, Levels


def seen(
    texts: list[str | None],
    learnt: np.ndarray,
    fold: np.ndarray,
    y: np.ndarray,
    at_once: int,
) -> Levels:
    found = Levels(y.shape[1])
    for start in range(0, len(texts), at_once):
        rows = slice(start, start + at_once)
        some = learnt[rows]
        found.see(texts[rows], some, fold[rows][some], y[rows][some])
    return found


@pytest.mark.parametrize("at_once", [1, 64, 1000])
def test_mean_targets_are_those_of_scikit_learn(at_once: int) -> None:
    random = np.random.default_rng(0)
    codes = random.integers(0, 30, 1000) ** 2 // 30
    texts = [None if code == 0 else f"level {code:02}" for code in codes]
    y = np.stack([codes / 10 + random.normal(size=1000), random.random(1000) < 0.3], 1)
    learnt, fold = random.random(1000) < 0.8, random.integers(0, FOLDS, 1000)
    found = seen(texts, learnt, fold, y, at_once)
    kept = list(found.most_frequent())
    assert kept[0] == max(set(texts) - {None}, key=lambda text: (texts.count(text), ""))
    assert found.missing == texts.count(None)
    for apart in (None, 0, 3):
        rows = learnt & (fold != apart)
        encoder = TargetEncoder(categories=[np.array(["", *kept], object)], target_type="continuous")
        shown = np.array([text or "" for text in texts], object)[rows, None]
        for output, target in enumerate(y.T):
            expected = encoder.fit(shown, target[rows]).encodings_[0]
            means = found.encodings(kept, apart)[output]
            np.testing.assert_allclose(means[:-2], expected[1:], rtol=1e-10)
            assert means[-2] == pytest.approx(expected[0])  # of rows without a level
            assert means[-1] == pytest.approx(target[rows].mean())  # no row has another level


def test_rare_levels_are_forgotten_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "_MOST", 40)
    monkeypatch.setattr(levels, "LEVELS", 20)
    random = np.random.default_rng(0)
    frequent = [f"f{code}" for code in random.integers(0, 10, 3000)]
    texts = [text if random.random() < 0.8 else f"r{place}" for place, text in enumerate(frequent)]
    y = np.array([[float(text.startswith("r"))] for text in texts])
    found = seen(list(texts), np.ones(3000, bool), np.zeros(3000, np.int64), y, 100)
    assert len(found.places) < 150
    top = list(found.most_frequent())[:10]
    assert set(top) == {f"f{code}" for code in range(10)}
    assert all(found.most_frequent()[text] == texts.count(text) for text in top)
    # those forgotten still count among the rows with another level, which have the target 1
    assert found.encodings(top, apart=1)[0, -1] > 0.9
    assert found.sums[..., 0].sum() == found.counts.sum() == 3000
