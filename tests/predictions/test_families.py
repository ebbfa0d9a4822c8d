"""Mixtures of Student-t, Poisson and negative binomial distributions against SciPy, simulation and sums."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from yuragi.prediction import (
    BinaryPrediction,
    NegativeBinomialPrediction,
    NumericPrediction,
    PoissonPrediction,
    RegressionPrediction,
    StudentTPrediction,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def student(parts: int = 4, rows: int = 2, spread: float = 2.0, df: float = 3.0) -> StudentTPrediction:
    shape = (parts, rows, 1)
    samples, noise = spread * rng().normal(size=shape), 0.3 + rng(1).uniform(size=shape)
    return StudentTPrediction(torch.as_tensor(samples), torch.as_tensor(noise), torch.tensor(df, dtype=torch.float64))


def poisson(parts: int = 4, rows: int = 2, mean: float = 4.0) -> PoissonPrediction:
    return PoissonPrediction(torch.as_tensor(mean * np.exp(0.5 * rng().normal(size=(parts, rows, 1)))))


def binomial(parts: int = 4, rows: int = 2, mean: float = 4.0, dispersion: float = 0.7) -> NegativeBinomialPrediction:
    samples = torch.as_tensor(mean * np.exp(0.5 * rng().normal(size=(parts, rows, 1))))
    return NegativeBinomialPrediction(samples, torch.tensor(dispersion, dtype=torch.float64))


def scipy_of(p: NumericPrediction) -> Any:
    """The parts as a frozen SciPy distribution of the shape of the samples."""
    m = p.samples.numpy()
    if isinstance(p, StudentTPrediction):
        return stats.t(p.df.numpy(), m, p.noise.numpy())
    if isinstance(p, RegressionPrediction):
        return stats.norm(m, p.noise.numpy())
    if isinstance(p, PoissonPrediction):
        return stats.poisson(m)
    assert isinstance(p, NegativeBinomialPrediction)
    return stats.nbinom(1 / p.dispersion.numpy(), 1 / (1 + p.dispersion.numpy() * m))


GAUSSIAN = RegressionPrediction(student().samples, student().noise)
ALL: list[NumericPrediction] = [GAUSSIAN, student(), student(df=2.05), student(df=60.0), poisson(), binomial()]
COUNTS: list[NumericPrediction] = [poisson(), poisson(mean=0.2), binomial(), binomial(dispersion=8.0)]


def names(p: NumericPrediction) -> str:
    return type(p).__name__


@pytest.mark.parametrize("p", ALL, ids=names)
def test_moments_follow_the_law_of_total_variance(p: NumericPrediction) -> None:
    parts = scipy_of(p)
    np.testing.assert_allclose(p.mean, parts.mean().mean(0))
    np.testing.assert_allclose(p.epistemic, parts.mean().std(0))
    np.testing.assert_allclose(p.aleatoric, np.sqrt(parts.var().mean(0)))
    np.testing.assert_allclose(p.std**2, parts.mean().var(0) + parts.var().mean(0))


@pytest.mark.parametrize("p", ALL, ids=names)
@pytest.mark.parametrize("y", [0.0, 1.0, 3.0, 25.0])
def test_log_prob_and_cdf_are_those_of_the_parts(p: NumericPrediction, y: float) -> None:
    parts, target = scipy_of(p), torch.full((2, 1), y)
    density = parts.pmf(y) if hasattr(parts, "pmf") and not isinstance(p, RegressionPrediction) else parts.pdf(y)
    np.testing.assert_allclose(p.log_prob(target), np.log(density.mean(0)[:, 0]), rtol=1e-9)
    np.testing.assert_allclose(p.cdf(target), parts.cdf(y).mean(0), rtol=1e-9)


def test_log_prob_is_joint_over_outputs() -> None:
    p = PoissonPrediction(torch.tensor([[[1.0, 2.0]], [[5.0, 0.5]]]))
    y = np.array([[3, 1]])
    expected = np.log(stats.poisson(p.samples.numpy()).pmf(y).prod(-1).mean(0))
    np.testing.assert_allclose(p.log_prob(y), expected, rtol=1e-6)


@pytest.mark.parametrize("level", [0.001, 0.05, 0.5, 0.95, 0.9999])
@pytest.mark.parametrize("p", [student(), student(df=2.05), student(df=60.0, spread=100.0)], ids=names)
def test_continuous_quantiles_invert_the_distribution_function(p: StudentTPrediction, level: float) -> None:
    np.testing.assert_allclose(scipy_of(p).cdf(p.quantile(level).numpy()).mean(0), level, rtol=1e-8)
    torch.testing.assert_close(p.cdf(p.quantile(level)), torch.full((2, 1), level, dtype=torch.float64))


@pytest.mark.parametrize("level", [0.001, 0.05, 0.5, 0.95, 0.9999])
@pytest.mark.parametrize("p", COUNTS, ids=names)
def test_quantiles_of_counts_are_the_smallest_whole_numbers(p: NumericPrediction, level: float) -> None:
    found = p.quantile(level).numpy()
    assert np.array_equal(found, found.round())
    assert (scipy_of(p).cdf(found).mean(0) >= level).all()
    assert (scipy_of(p).cdf(found - 1).mean(0) < level).all()
    assert (found >= 0).all()


@pytest.mark.parametrize("p", ALL, ids=names)
def test_intervals_hold_what_they_say(p: NumericPrediction) -> None:
    lower, upper = p.interval(0.8)
    inside = p.cdf(upper) - p.cdf(lower - (0 if isinstance(p, RegressionPrediction) else 1))
    assert bool((inside >= 0.8 - 1e-9).all())
    with pytest.raises(ValueError, match="a quantile's level"):
        p.quantile(1.0)
    with pytest.raises(ValueError, match="an interval's level"):
        p.interval(0.0)


@pytest.mark.parametrize("df", [2.05, 4.0, 30.0])
@pytest.mark.parametrize("spread", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("parts", [1, 2, 20])
def test_crps_of_a_t_mixture_is_its_integral(parts: int, spread: float, df: float) -> None:
    p = student(parts, 1, spread, df)
    loc, scale = p.samples.numpy().ravel(), p.noise.numpy().ravel()
    for y in (0.3, -4.0):
        steps = np.r_[0, np.geomspace(0.3, 1e7, 30)]
        edges = np.unique(np.r_[y, (loc[:, None] + np.outer(scale, np.r_[-steps, steps])).ravel()])
        total = 0.0
        for low, high in pairwise(edges):
            total += integrate.fixed_quad(
                lambda z, right=low >= y: (stats.t.cdf((z[:, None] - loc) / scale, df).mean(1) - right) ** 2,
                low,
                high,
                n=6,
            )[0]
        assert float(p.crps(torch.tensor([[y]]))) == pytest.approx(total, abs=2e-5 * float(p.std))


@pytest.mark.parametrize("parts", [1, 3, 20])
@pytest.mark.parametrize("mean", [0.1, 3.0, 400.0])
@pytest.mark.parametrize("dispersion", [None, 0.02, 1.0, 20.0])
def test_crps_of_counts_is_its_sum(parts: int, mean: float, dispersion: float | None) -> None:
    p = poisson(parts, 1, mean) if dispersion is None else binomial(parts, 1, mean, dispersion)
    highest = int(float(p.samples.max()) * (30 if dispersion is None else 30 + 40 * dispersion)) + 100
    k = np.arange(min(highest, 400_000))
    below = scipy_of(p).cdf(k[:, None, None, None])[:, :, 0, 0].mean(1) if len(k) < 5000 else _cdf(p, k)
    for y in (0.0, 3.0, 2.5):
        # a step of F at every k, and of the indicator at y
        edges = np.floor(y)
        total = ((below - (k >= y)) ** 2).sum()
        if y != edges:
            total += (edges + 1 - y) * ((below[int(edges)] - 1) ** 2 - below[int(edges)] ** 2)
        assert float(p.crps(torch.tensor([[y]]))) == pytest.approx(total, abs=1e-4 * float(p.std))


def _cdf(p: NumericPrediction, k: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    mass = np.zeros(len(k))
    for part in p.samples.numpy().ravel():
        if isinstance(p, NegativeBinomialPrediction):
            dispersion = float(p.dispersion)
            mass += stats.nbinom.pmf(k, 1 / dispersion, 1 / (1 + dispersion * part))
        else:
            mass += stats.poisson.pmf(k, part)
    return np.asarray(mass.cumsum() / len(p.samples))


@pytest.mark.parametrize("p", [student(), poisson(), binomial()], ids=names)
def test_crps_does_not_depend_on_how_many_rows_there_are(p: NumericPrediction, monkeypatch: pytest.MonkeyPatch) -> None:
    y = torch.tensor([[1.0], [6.0]])
    whole = p.crps(y)
    monkeypatch.setattr("yuragi.predictions.mixtures._CHUNK", 1)
    again = type(p)(**{name: getattr(p, name) for name in p.__dataclass_fields__})
    torch.testing.assert_close(again.crps(y), whole)


def test_many_degrees_of_freedom_are_gaussian() -> None:
    p = student(df=1e7)
    gaussian, y = RegressionPrediction(p.samples, p.noise), torch.tensor([[0.5], [-1.0]])
    for name in ("log_prob", "cdf", "crps"):
        torch.testing.assert_close(getattr(p, name)(y), getattr(gaussian, name)(y), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(p.quantile(0.9), gaussian.quantile(0.9), rtol=1e-5, atol=1e-5)


def test_a_t_mixture_is_rescaled() -> None:
    p, y = student(), torch.tensor([[0.5], [-1.0]], dtype=torch.float64)
    back = p.rescaled(3.0, 10.0)
    assert isinstance(back, StudentTPrediction)
    torch.testing.assert_close(back.std, 10 * p.std)
    torch.testing.assert_close(back.log_prob(3 + 10 * y), p.log_prob(y) - math.log(10))
    torch.testing.assert_close(back.crps(3 + 10 * y), 10 * p.crps(y), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("p", ALL, ids=names)
def test_targets_that_do_not_fit(p: NumericPrediction) -> None:
    for score in (p.log_prob, p.crps, p.cdf):
        with pytest.raises(ValueError, match=r"predictions have shape \(2, 1\), but the targets have shape \(2,\)"):
            score(torch.zeros(2))


@pytest.mark.parametrize("p", COUNTS, ids=names)
def test_what_is_no_count_is_impossible(p: NumericPrediction) -> None:
    assert torch.equal(p.log_prob(torch.tensor([[0.5], [-1.0]])), torch.full((2,), -torch.inf, dtype=torch.float64))
    torch.testing.assert_close(p.cdf(torch.tensor([[1.5], [-0.5]]))[0], p.cdf(torch.tensor([[1.0], [0.0]]))[0])
    assert float(p.cdf(torch.tensor([[1.5], [-0.5]]))[1]) == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.bool])
def test_labels_of_two_classes(dtype: torch.dtype) -> None:
    logits = torch.as_tensor(rng().normal(size=(6, 5, 3)))
    p = BinaryPrediction(torch.stack([torch.zeros_like(logits), logits], 2))
    torch.testing.assert_close(p.probs[..., 1], logits.sigmoid().mean(0))
    y = torch.as_tensor(rng(1).integers(2, size=(5, 3)))
    each = torch.where(y == 1, logits.sigmoid(), 1 - logits.sigmoid())
    torch.testing.assert_close(p.log_prob(y.to(dtype)), each.prod(-1).mean(0).log())
    with pytest.raises(ValueError, match=r"labels must be 0 or 1, got 0.5"):
        p.log_prob(torch.full((5, 3), 0.5))
