"""What a `Prediction` says, against simulation and closed forms."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from yuragi.prediction import ClassificationPrediction, RegressionPrediction


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def regression(out: tuple[int, ...] = (2,), samples: int = 8, rows: int = 3) -> RegressionPrediction:
    noise = 0.2 + randn(samples, rows, *out, seed=1).abs()
    return RegressionPrediction(samples=2 * randn(samples, rows, *out), noise=noise)


@pytest.mark.parametrize("out", [(), (1,), (2,), (2, 2)])
def test_moments_are_those_of_simulated_targets(out: tuple[int, ...]) -> None:
    p = regression(out)
    chosen = torch.randint(8, (400_000,), generator=torch.Generator().manual_seed(0))
    unit = torch.randn(400_000, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    moments = torch.stack([m.flatten() for m in (p.mean, p.std, p.epistemic, p.aleatoric)], 1)
    for mean, noise, values in zip(p.samples.flatten(1).T, p.noise.flatten(1).T, moments, strict=True):
        y = mean[chosen] + noise[chosen] * unit
        error = 4 * float(y.std()) / math.sqrt(len(y))
        within = (y - mean[chosen]).square().mean().sqrt()
        for value, expected in zip(values, (y.mean(), y.std(), mean[chosen].std(correction=0), within), strict=True):
            assert float(value) == pytest.approx(float(expected), abs=error)


def test_total_variance_adds_up() -> None:
    p = regression()
    torch.testing.assert_close(p.std.square(), p.epistemic.square() + p.aleatoric.square())
    torch.testing.assert_close(p.aleatoric, p.noise.square().mean(0).sqrt())
    assert (p.num_rows, p.mean.shape) == (3, (3, 2))


@pytest.mark.parametrize("noise", [1e-3, 1e-6])
def test_spread_at_a_large_mean_in_float32(noise: float) -> None:
    samples = (1e4 + randn(1000, 4, 1)).float()
    p = RegressionPrediction(samples=samples, noise=torch.tensor(noise))
    torch.testing.assert_close(p.epistemic.double(), samples.double().std(0, correction=0), rtol=1e-4, atol=0)
    torch.testing.assert_close(p.std.double(), samples.double().std(0, correction=0), rtol=1e-4, atol=0)
    assert not p.log_prob(p.mean).isnan().any()
    same = RegressionPrediction(samples=torch.full((10, 1, 1), 1e4), noise=torch.tensor(noise))
    assert same.epistemic.item() == 0
    assert same.std.item() == pytest.approx(noise)


def test_a_single_draw() -> None:
    p = RegressionPrediction(samples=torch.zeros(1, 3, 1), noise=torch.tensor(0.5))
    assert torch.equal(p.epistemic, torch.zeros(3, 1))
    torch.testing.assert_close(p.std, torch.full((3, 1), 0.5))
    torch.testing.assert_close(p.quantile(0.975), torch.full((3, 1), 0.5 * 1.959964))


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_intervals_hold_their_share_of_the_mixture(level: float) -> None:
    p = regression()
    lower, upper = p.interval(level)
    mixture = MixtureSameFamily(
        Categorical(torch.ones(3, 2, 8, dtype=torch.float64)), Normal(p.samples.movedim(0, -1), p.noise.movedim(0, -1))
    )
    outside = torch.full((3, 2), (1 - level) / 2, dtype=torch.float64)
    torch.testing.assert_close(mixture.cdf(lower), outside)
    torch.testing.assert_close(1 - mixture.cdf(upper), outside)


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5, -0.5])
def test_levels_out_of_range(level: float) -> None:
    with pytest.raises(ValueError, match="an interval's level must lie strictly between 0 and 1"):
        regression().interval(level)
    with pytest.raises(ValueError, match="a quantile's level"):
        regression().quantile(level)


@pytest.mark.parametrize("out", [(), (2,)])
def test_log_prob_is_joint_over_the_outputs_of_a_draw(out: tuple[int, ...]) -> None:
    p, y = regression(out), randn(3, *out, seed=5)
    joint = Independent(Normal(p.samples.movedim(0, 1), p.noise.movedim(0, 1)), len(out))
    expected = MixtureSameFamily(Categorical(torch.ones(3, 8, dtype=torch.float64)), joint).log_prob(y)
    torch.testing.assert_close(p.log_prob(y), expected)
    torch.testing.assert_close(p.log_prob(y.numpy()), expected)
    torch.testing.assert_close(p.log_prob(y.tolist()), expected)
    assert p.crps(y.numpy()).shape == y.shape


@pytest.mark.parametrize("method", ["log_prob", "crps"])
def test_targets_that_do_not_fit(method: str) -> None:
    score = getattr(regression((1,)), method)
    with pytest.raises(ValueError, match=r"predictions have shape \(3, 1\), but the targets have shape \(3,\)"):
        score(torch.zeros(3))
    with pytest.raises(ValueError, match=r"y holds 1 values that are NaN or infinite, the first at \[1, 0\]"):
        score(torch.tensor([[0.0], [math.nan], [0.0]]))
    with pytest.raises(TypeError, match="y must be a tensor or array, got NoneType"):
        score(None)


@pytest.mark.parametrize(("loc", "scale"), [(3.0, 2.0), (torch.tensor([1.0, -1.0]), torch.tensor([0.5, 100.0]))])
def test_rescaled(loc: float | Tensor, scale: float | Tensor) -> None:
    p, y = regression(), randn(3, 2, seed=5)
    back = p.rescaled(loc, scale)
    widths = torch.as_tensor(scale, dtype=torch.float64).expand(2)
    for name in ("std", "epistemic", "aleatoric"):
        torch.testing.assert_close(getattr(back, name), getattr(p, name) * widths)
    torch.testing.assert_close(back.mean, p.mean * widths + loc)
    for level in (0.01, 0.5, 0.99):
        torch.testing.assert_close(back.quantile(level), p.quantile(level) * widths + loc)
    torch.testing.assert_close(back.log_prob(y * widths + loc), p.log_prob(y) - widths.log().sum())
    torch.testing.assert_close(back.crps(y * widths + loc), p.crps(y) * widths)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, torch.tensor([1.0, -1.0])])
def test_rescaling_needs_a_positive_scale(scale: float | Tensor) -> None:
    with pytest.raises(ValueError, match="scale must be positive"):
        regression().rescaled(0.0, scale)


def test_predictions_are_frozen_and_compared_by_identity() -> None:
    p = regression()
    with pytest.raises(AttributeError):
        p.samples = torch.zeros(1)  # type: ignore[misc]
    assert p == p
    assert p != regression()
    assert len({p, p}) == 1


# -- classification


@pytest.mark.parametrize("positions", [(), (4,), (2, 3)])
def test_probabilities_are_averaged_not_logits(positions: tuple[int, ...]) -> None:
    logits = 3 * randn(6, 5, 3, *positions)
    p = ClassificationPrediction(samples=logits)
    each = torch.stack([Categorical(logits=draw.movedim(1, -1)).probs for draw in logits])
    torch.testing.assert_close(p.draw_probs, each)
    torch.testing.assert_close(p.probs, each.mean(0))
    assert p.probs.shape == (5, *positions, 3)
    assert torch.equal(p.label, each.mean(0).argmax(-1))
    torch.testing.assert_close(p.entropy, Categorical(probs=each.mean(0)).entropy())
    torch.testing.assert_close(p.expected_entropy, Categorical(probs=each).entropy().mean(0))
    torch.testing.assert_close(p.mutual_information, p.entropy - p.expected_entropy)
    assert p.mutual_information.shape == (5, *positions)


@pytest.mark.parametrize("positions", [(), (4,)])
def test_the_variance_of_a_class_splits_into_two(positions: tuple[int, ...]) -> None:
    p = ClassificationPrediction(samples=3 * randn(6, 5, 3, *positions))
    # the indicator of class c: its variance is p(1 − p); within a draw p_s(1 − p_s), between draws the variance of p_s
    within = torch.stack([q * (1 - q) for q in p.draw_probs]).sum(0) / 6
    between = torch.stack([(q - p.probs) ** 2 for q in p.draw_probs]).sum(0) / 6
    torch.testing.assert_close(p.aleatoric, within.sqrt())
    torch.testing.assert_close(p.epistemic, between.sqrt())
    torch.testing.assert_close(p.std, (p.probs * (1 - p.probs)).sqrt())
    torch.testing.assert_close(p.std.square(), p.epistemic.square() + p.aleatoric.square())
    assert p.std.shape == (5, *positions, 3)


def test_uncertainty_of_draws_that_agree_and_that_contradict_each_other() -> None:
    agreed = ClassificationPrediction(samples=torch.tensor([0.0, 1.0]).expand(4, 1, 2))
    assert torch.equal(agreed.epistemic, torch.zeros(1, 2))
    torch.testing.assert_close(agreed.std, agreed.aleatoric)
    assert agreed.variation_ratio.item() == 0
    signs = torch.tensor([1.0, 1.0, -1.0, 1.0])[:, None, None]
    apart = ClassificationPrediction(samples=1000 * signs * torch.tensor([[0.0, 1.0]]))  # each draw certain
    assert torch.equal(apart.aleatoric, torch.zeros(1, 2))
    torch.testing.assert_close(apart.epistemic, torch.full((1, 2), math.sqrt(0.25 * 0.75)))
    assert apart.variation_ratio.item() == 0.25


@pytest.mark.parametrize("positions", [(), (4,)])
def test_log_prob_of_labels_is_joint_over_the_positions_of_a_draw(positions: tuple[int, ...]) -> None:
    logits = 3 * randn(6, 5, 3, *positions)
    y = torch.randint(3, (5, *positions), generator=torch.Generator().manual_seed(0))
    each = torch.stack([Categorical(logits=draw.movedim(1, -1)).log_prob(y).exp() for draw in logits])
    expected = (each.flatten(2).prod(2) if positions else each).mean(0).log()
    p = ClassificationPrediction(samples=logits)
    torch.testing.assert_close(p.log_prob(y), expected)
    torch.testing.assert_close(p.log_prob(y.numpy().astype(np.uint8)), expected)
    torch.testing.assert_close(p.log_prob(y.tolist()), expected)


def test_log_prob_of_an_impossible_label_is_finite() -> None:
    p = ClassificationPrediction(samples=torch.tensor([[[0.0, 1000.0]]]))
    torch.testing.assert_close(p.log_prob(torch.tensor([0])), torch.tensor([-1000.0], dtype=torch.float64))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.zeros(5), "labels must be integers"),
        (torch.zeros(5, 1, dtype=torch.long), r"of shape \(5,\), got torch.int64 \(5, 1\)"),
        (torch.zeros(1, dtype=torch.long), "of shape"),
        (torch.tensor([0, 1, 2, 3, 0]), "labels must lie in 0…2, got 0…3"),
        (torch.tensor([0, 1, 2, -1, 0]), "got -1…2"),
    ],
)
def test_labels_that_do_not_fit(y: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassificationPrediction(samples=randn(6, 5, 3)).log_prob(y)


def test_labels_that_are_no_labels() -> None:
    with pytest.raises(TypeError, match="y must be a tensor or array of labels, got str"):
        ClassificationPrediction(samples=randn(6, 5, 3)).log_prob("cat")


def test_a_mean_far_from_zero_does_not_swallow_the_spread() -> None:
    samples = torch.tensor([[[0.0]], [[1.0]]])
    far = RegressionPrediction(samples=samples, noise=torch.tensor(0.5)).rescaled(1e9, 1.0)
    assert float(far.epistemic) == 0.5
    assert float(far.mean) == 1e9 + 0.5
