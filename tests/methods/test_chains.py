"""R-hat and effective sample size against what is known of autoregressive chains."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from yuragi.methods.chains import effective_sample_size, split_rhat

CHAINS, LENGTH = 16, 1000


def autoregressive(rho: float, columns: int = 6) -> Tensor:
    """Stationary AR(1) chains with standard normal margins, [C, T, columns]."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(CHAINS, LENGTH, columns, generator=generator, dtype=torch.float64)
    x = noise.clone()
    for t in range(1, LENGTH):
        x[:, t] = rho * x[:, t - 1] + (1 - rho**2) ** 0.5 * noise[:, t]
    return x


@pytest.mark.parametrize("rho", [-0.4, 0.0, 0.5, 0.9])
def test_the_size_is_that_of_an_autoregressive_chain(rho: float) -> None:
    # 1 + 2 Σ ρ^t = (1 + ρ)/(1 − ρ)
    size = effective_sample_size(autoregressive(rho))
    assert float(size.mean()) / (CHAINS * LENGTH * (1 - rho) / (1 + rho)) == pytest.approx(1, abs=0.08)


def test_the_size_does_not_depend_on_the_scale() -> None:
    # ranks alone count: a monotone function changes nothing, and neither does a Cauchy tail
    x = autoregressive(0.5)
    torch.testing.assert_close(effective_sample_size(x.exp().exp()), effective_sample_size(x))
    torch.testing.assert_close(
        split_rhat(torch.tan(3.1 * torch.special.ndtr(x) - 1.55)), split_rhat(x), atol=1e-3, rtol=0
    )


def test_rhat_by_hand() -> None:
    # two chains of four values: the halves are {1, 2}, {3, 5}, {4, 6}, {7, 8}; scores are of ranks 1 to 8
    values = torch.tensor([[1.0, 2.0, 3.0, 5.0], [4.0, 6.0, 7.0, 8.0]])
    scores = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(1, 9).double() - 0.375) / 8.25)
    halves = scores[torch.tensor([[1, 2], [3, 5], [4, 6], [7, 8]]) - 1]
    within = halves.var(1).mean()
    expected = ((within / 2 + halves.mean(1).var()) / within).sqrt()
    assert float(split_rhat(values)) == pytest.approx(float(expected))


def test_chains_that_differ_are_seen() -> None:
    x = autoregressive(0.0)
    assert (split_rhat(x) < 1.01).all()
    shifted, wider, drifting = x.clone(), x.clone(), x + torch.linspace(0, 1, LENGTH).reshape(1, -1, 1)
    shifted[0] += 1
    wider[0] *= 2
    for bad in (shifted, wider, drifting):
        assert (split_rhat(bad) > 1.02).all()


def test_what_cannot_be_told_is_nan() -> None:
    x = torch.randn(2, 10, 3)
    x[0, 0, 0] = torch.inf
    x[:, :, 1] = 1
    for result in (split_rhat(x), effective_sample_size(x)):
        assert result.isnan().tolist() == [True, True, False]
    with pytest.raises(ValueError, match="at least 4 values each to be compared, got 3"):
        split_rhat(torch.zeros(2, 3))
