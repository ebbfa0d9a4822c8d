"""Scores of mixtures against closed forms, `torch.distributions`, scoringrules and numerical integration."""

import math

import pytest
import scoringrules
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from yuragi import metrics
from yuragi.metrics import mixtures

SCORES = [
    metrics.gaussian_mixture_log_prob,
    metrics.gaussian_mixture_crps,
    metrics.gaussian_mixture_cdf,
    metrics.moment_matched_log_prob,
]
LEVELS = [0.001, 0.05, 0.3, 0.5, 0.84, 0.999]


def mixture(samples: int = 7, rows: int = 5, out: tuple[int, ...] = (), seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (samples, rows, *out)
    mean = 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    scale = 0.1 + 2 * torch.rand(shape, generator=generator, dtype=torch.float64)
    return mean, scale, 4 * torch.randn(shape[1:], generator=generator, dtype=torch.float64)


def reference(mean: Tensor, scale: Tensor) -> MixtureSameFamily:
    weights = Categorical(torch.ones(mean.movedim(0, -1).shape, dtype=mean.dtype))
    return MixtureSameFamily(weights, Normal(mean.movedim(0, -1), scale.movedim(0, -1)))


@pytest.mark.parametrize("out", [(), (1,), (2, 3)])
def test_cdf_and_density_are_those_of_the_mixture(out: tuple[int, ...]) -> None:
    mean, scale, y = mixture(out=out)
    torch.testing.assert_close(metrics.gaussian_mixture_cdf(mean, scale, y), reference(mean, scale).cdf(y))
    joint = Independent(Normal(mean.movedim(0, 1), scale.movedim(0, 1)), len(out))
    expected = MixtureSameFamily(Categorical(torch.ones(5, 7, dtype=torch.float64)), joint).log_prob(y)
    torch.testing.assert_close(metrics.gaussian_mixture_log_prob(mean, scale, y), expected)


def test_density_far_from_every_component_is_finite_and_right() -> None:
    mean, scale = torch.tensor([[0.0], [1.0]]), torch.tensor(0.01)
    y = torch.tensor([100.0])
    expected = Normal(1.0, 0.01).log_prob(y).double() - math.log(2)  # the other component adds nothing
    torch.testing.assert_close(metrics.gaussian_mixture_log_prob(mean, scale, y), expected)


@pytest.mark.parametrize("level", LEVELS)
def test_quantile_of_one_gaussian(level: float) -> None:
    mean, scale, _ = mixture(samples=1)
    torch.testing.assert_close(
        metrics.gaussian_mixture_quantile(mean, scale, level),
        Normal(mean[0], scale[0]).icdf(torch.tensor(level, dtype=torch.float64)),
    )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    means=st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20),
    log10_scales=st.lists(st.floats(-6, 3), min_size=20, max_size=20),
    level=st.floats(0.001, 0.999),
)
def test_quantile_inverts_the_distribution_function(
    means: list[float], log10_scales: list[float], level: float
) -> None:
    mean = torch.tensor(means, dtype=torch.float64)[:, None]
    scale = 10 ** torch.tensor(log10_scales[: len(means)], dtype=torch.float64)[:, None]
    quantile = metrics.gaussian_mixture_quantile(mean, scale, level)
    # the smallest step that a float64 quantile can make moves the distribution function by this much
    step = 4 * torch.finfo(torch.float64).eps * quantile.abs() + 1e-300
    below, above = (metrics.gaussian_mixture_cdf(mean, scale, quantile + sign * step) for sign in (-1, 1))
    assert below.item() - 1e-9 <= level <= above.item() + 1e-9


@pytest.mark.parametrize("level", [0.025, 0.5, 0.9])
def test_quantile_of_thousands_of_mixtures(level: float) -> None:
    # plain Newton steps inside a bracket, without a guard against going back and forth, fail for one in a thousand
    generator = torch.Generator().manual_seed(1)
    size = 10 ** (8 * torch.rand(4000, generator=generator, dtype=torch.float64) - 4)
    mean = size * torch.randn(100, 4000, generator=generator, dtype=torch.float64)
    scale = 10 ** (2 * torch.rand(100, 4000, generator=generator, dtype=torch.float64) - 1)
    quantile = metrics.gaussian_mixture_quantile(mean, scale, level)
    reached = metrics.gaussian_mixture_cdf(mean, scale, quantile)
    torch.testing.assert_close(reached, torch.full_like(reached, level), atol=1e-8, rtol=0)


@pytest.mark.parametrize("level", LEVELS)
def test_quantile_between_modes_far_apart(level: float) -> None:
    mean = torch.tensor([[-1e4], [0.0], [1e4], [1e4]], dtype=torch.float64)
    scale = torch.full_like(mean, 1e-6)
    quantile = metrics.gaussian_mixture_quantile(mean, scale, level)
    torch.testing.assert_close(
        metrics.gaussian_mixture_cdf(mean, scale, quantile),
        torch.tensor([level], dtype=torch.float64),
        atol=1e-6,
        rtol=0,
    )


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, math.nan])
def test_quantile_level_out_of_range(level: float) -> None:
    with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
        metrics.gaussian_mixture_quantile(torch.zeros(1, 1), torch.ones(1, 1), level)


def test_crps_of_one_gaussian() -> None:
    # Gneiting & Raftery, "Strictly proper scoring rules, prediction, and estimation", 2007, eq. 21
    mean, scale, y = mixture(samples=1)
    unit = (y - mean[0]) / scale[0]
    standard = Normal(torch.zeros_like(unit), torch.ones_like(unit))
    expected = scale[0] * (
        unit * (2 * standard.cdf(unit) - 1) + 2 * standard.log_prob(unit).exp() - 1 / math.sqrt(math.pi)
    )
    torch.testing.assert_close(metrics.gaussian_mixture_crps(mean, scale, y), expected)


@pytest.mark.parametrize("out", [(), (2,)])
def test_crps_is_the_integral_of_the_squared_error_of_the_distribution_function(out: tuple[int, ...]) -> None:
    mean, scale, y = mixture(rows=3, out=out)
    grid = torch.linspace(-40, 40, 400_001, dtype=torch.float64)
    crps = metrics.gaussian_mixture_crps(mean, scale, y).flatten()
    for m, s, target, value in zip(mean.flatten(1).T, scale.flatten(1).T, y.flatten(), crps, strict=True):
        cdf = metrics.gaussian_mixture_cdf(m[:, None].expand(-1, len(grid)), s[:, None], grid)
        expected = torch.trapezoid((cdf - (target <= grid).double()).square(), grid)
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("out", [(), (2,)])
def test_crps_is_that_of_scoringrules(out: tuple[int, ...]) -> None:
    mean, scale, y = mixture(out=out)
    expected = scoringrules.crps_mixnorm(y.numpy(), mean.numpy(), scale.numpy(), m_axis=0, backend="numpy")
    torch.testing.assert_close(metrics.gaussian_mixture_crps(mean, scale, y), torch.as_tensor(expected))


@pytest.mark.parametrize("out", [(), (1,), (2, 3)])
def test_moment_matched_density_is_that_of_a_gaussian_with_the_moments_of_the_mixture(out: tuple[int, ...]) -> None:
    mean, scale, y = mixture(out=out)
    whole = reference(mean, scale)
    expected = Independent(Normal(whole.mean, whole.variance.sqrt()), len(out)).log_prob(y)
    torch.testing.assert_close(metrics.moment_matched_log_prob(mean, scale, y), expected)


def test_moment_matching_one_component_changes_nothing() -> None:
    mean, scale, y = mixture(samples=1, out=(2,))
    torch.testing.assert_close(
        metrics.moment_matched_log_prob(mean, scale, y), metrics.gaussian_mixture_log_prob(mean, scale, y)
    )
    far = torch.full((50, 1), 1e4)  # where a difference of squares would lose the spread in float32
    assert metrics.moment_matched_log_prob(far, torch.tensor(1e-3), far[0]).item() == pytest.approx(
        -math.log(1e-3) - 0.5 * math.log(2 * math.pi), rel=1e-6
    )


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    mean, scale, y = mixture(samples=6, rows=11, out=(2,))
    crps = metrics.gaussian_mixture_crps(mean, scale, y)
    quantile = metrics.gaussian_mixture_quantile(mean, scale, 0.2)
    monkeypatch.setattr(mixtures, "_CHUNK", 6 * 6)
    torch.testing.assert_close(metrics.gaussian_mixture_crps(mean, scale, y), crps, rtol=1e-12, atol=0)
    torch.testing.assert_close(metrics.gaussian_mixture_quantile(mean, scale, 0.2), quantile, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(7, 1, 1), (1, 5, 1), (), (7, 5, 2)])
def test_scale_may_be_broadcast(shape: tuple[int, ...]) -> None:
    mean, full, y = mixture(out=(2,))
    scale = full[tuple(slice(size) for size in shape)] if shape else torch.tensor(0.5, dtype=torch.float64)
    whole = scale.expand_as(mean).contiguous()
    for score in SCORES:
        torch.testing.assert_close(score(mean, scale, y), score(mean, whole, y))
    torch.testing.assert_close(
        metrics.gaussian_mixture_quantile(mean, scale, 0.7), metrics.gaussian_mixture_quantile(mean, whole, 0.7)
    )


@pytest.mark.parametrize("y_shape", [(5,), (5, 1, 1), (1, 5), (7, 5, 1)])
def test_shapes_are_never_broadcast(y_shape: tuple[int, ...]) -> None:
    mean, scale, _ = mixture(out=(1,))
    y = torch.zeros(y_shape)
    for score in SCORES:
        with pytest.raises(ValueError, match=r"predictions have shape \(5, 1\)"):
            score(mean, scale, y)
