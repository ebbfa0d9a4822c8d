"""The article's experiment, and the pictures of it."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import yuragi as yu
from yuragi import demo, plotting
from yuragi.estimators import ESTIMATORS, Estimator


def test_the_data_are_the_articles() -> None:
    x, y = demo.data()
    np.random.seed(0)  # noqa: NPY002 - the article's own lines
    left, right = np.random.uniform(-4, -1, 100), np.random.uniform(1, 4, 100)  # noqa: NPY002
    np.testing.assert_allclose(x[:, 0].numpy(), np.concatenate([left, right]), rtol=1e-6)
    torch.testing.assert_close(y, x.sin())


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_article_fit_learns_and_reports(estimator: Estimator) -> None:
    seen: list[yu.Epoch] = []
    state = torch.get_rng_state()
    bnn = demo.fit_as_in_the_article(*demo.data(), estimator=estimator, epochs=40, progress=seen.append)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(seen) == 40
    assert seen[-1].loss < 0.5 * seen[0].loss
    prediction = demo.predict_grid(bnn, draws=20)
    # the article's variance: that of the draws plus 1e-4 / 2
    torch.testing.assert_close(prediction.std.square(), prediction.samples.var(0, correction=0) + 5e-5)
    assert [region.name for region in demo.regions(prediction)] == ["in the data", "in the gap", "at the edges"]


def test_the_article_objective_is_written_as_there() -> None:
    x, y = demo.data()
    losses: list[float] = []
    bnn = demo.fit_as_in_the_article(x, y, estimator="shared", epochs=1, progress=lambda e: losses.append(e.loss))
    q = bnn.q()
    assert q.scales is not None
    parts = [
        torch.distributions.kl_divergence(torch.distributions.Normal(m, s), torch.distributions.Normal(0.0, 1.0)).mean()
        for m, s in zip(q.mean, q.scales, strict=True)
    ]
    with bnn.at_mean():
        error = (bnn(x) - y).square().mean()
    # one epoch: mean squared error of about the size of the target's, and the averaged KL of six tensors times 1e-4/64
    assert losses[0] == pytest.approx(float(error.detach()), abs=0.3)
    assert float(torch.stack(parts).sum().detach()) * demo.KL_COEFFICIENT < 1e-3


@pytest.mark.slow
def test_the_recommended_fit_knows_the_gap() -> None:
    ratios = []
    for seed in range(5):
        data, gap, _ = demo.regions(demo.predict_grid(demo.fit_as_recommended(*demo.data(), seed=seed)))
        ratios.append(gap.epistemic / data.epistemic)
        assert data.rmse < 0.05
    assert statistics.median(ratios) >= 3


def test_pictures_show_what_the_prediction_says() -> None:
    x = torch.tensor([[2.0], [0.0], [1.0]])
    samples = torch.stack([x.sin() + 0.1, x.sin() - 0.1])
    prediction = yu.RegressionPrediction(samples, torch.tensor(0.2))
    left, right = Figure().subplots(1, 2)
    assert plotting.band(prediction, x, left) is left
    assert plotting.points(x, x.sin(), left) is left
    assert plotting.spread(prediction, x, right) is right
    line = left.get_lines()[0]
    np.testing.assert_allclose(np.asarray(line.get_xdata()), [0, 1, 2])  # sorted
    np.testing.assert_allclose(np.asarray(line.get_ydata()), np.sin([0, 1, 2]), atol=1e-6)
    total, epistemic = right.get_lines()
    np.testing.assert_allclose(np.asarray(total.get_ydata()), np.sqrt(0.05), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(epistemic.get_ydata()), 0.1, rtol=1e-5)
    with pytest.raises(ValueError, match="one input and one output"):
        plotting.band(prediction, torch.zeros(2, 1), left)
