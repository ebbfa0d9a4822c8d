"""Whether Markov chains have converged: split R-hat and effective sample size.

Vehtari, Gelman, Simpson, Carpenter & Bürkner, "Rank-normalization, folding, and localization: an improved R-hat for
assessing convergence of MCMC", 2021. All computation is in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor


def split_rhat(values: Tensor) -> Tensor:
    """Rank-normalised split R-hat: √((W(n − 1)/n + B/n)/W), W within and B between half-chains of length n.

    The larger of that of the values and of their distances from the median, so that chains which differ in spread alone
    are seen too. Above 1.01 the chains have not mixed.

    Args:
        values: [C, T, ...]: T ≥ 4 values of each of C chains.

    Returns:
        float64 [...]; NaN where a value is not finite or all are equal.

    Raises:
        ValueError: fewer than four values a chain.

    Example:
        >>> bool(split_rhat(torch.randn(4, 500, generator=torch.Generator().manual_seed(0))) < 1.01)
        True
    """
    halves = _halves(values)
    median = halves.flatten(0, 1).quantile(0.5, dim=0)
    return torch.maximum(_rhat(_normal_scores(halves)), _rhat(_normal_scores((halves - median).abs())))


def effective_sample_size(values: Tensor) -> Tensor:
    """Effective sample size of rank-normalised split chains (bulk-ESS): CT/(1 + 2 Σ ρ_t), ρ_t the autocorrelation at lag t.

    The sum ends by Geyer's initial monotone sequence ("Practical Markov chain Monte Carlo", 1992), and the result is at
    most S·log₁₀(S) for S = CT values.

    Args:
        values: [C, T, ...]: T ≥ 4 values of each of C chains.

    Returns:
        float64 [...]; NaN where a value is not finite or all are equal.

    Raises:
        ValueError: fewer than four values a chain.
    """
    x = _normal_scores(_halves(values))
    chains, length = x.shape[:2]
    total = chains * length
    within, plus = _variances(x)
    centred = x - x.mean(1, keepdim=True)
    # autocovariances by the convolution theorem, padded so that the ends do not meet
    spectrum = torch.fft.rfft(centred, n=2 * length, dim=1)
    covariance = torch.fft.irfft(spectrum.abs().square(), n=2 * length, dim=1)[:, :length].mean(0) / length
    rho = 1 - (within - covariance) / plus
    rho[0] = 1
    pairs = rho[: 2 * max(1, (length - 3) // 2)].unflatten(0, (-1, 2)).sum(1)  # the last lags are of too few values
    positive = (pairs > 0).cummin(0).values
    monotone = torch.where(positive, pairs, torch.inf).cummin(0).values
    # the first term that is left out, where it is positive: without it, antithetic chains would be thought too good
    last = (2 * positive.sum(0, keepdim=True)).clamp_max(length - 1)
    rest = rho.gather(0, last).squeeze(0).clamp_min(0)
    time = -1 + 2 * torch.where(positive, monotone, 0.0).sum(0) + rest
    limit = torch.log10(torch.tensor(float(total), dtype=torch.float64))
    size = total / time.clamp_min(1 / limit)
    return torch.where(plus > 0, size, torch.nan)


def _halves(values: Tensor) -> Tensor:
    # [C, T, ...] to [2C, T // 2, ...]; the middle one of an odd number is left out
    length = values.shape[1]
    if length < 4:
        raise ValueError(f"chains need at least 4 values each to be compared, got {length}")
    half = length // 2
    return torch.cat([values[:, :half], values[:, length - half :]]).double()


def _normal_scores(x: Tensor) -> Tensor:
    # ranks over all chains, equal values sharing their mean rank, as quantiles of a standard normal
    flat = x.flatten(0, 1)
    total = len(flat)
    ordered, order = flat.movedim(0, -1).sort(dim=-1)
    ordered = ordered.contiguous()
    low = torch.searchsorted(ordered, ordered, right=False)
    high = torch.searchsorted(ordered, ordered, right=True)
    rank = torch.empty_like(ordered).scatter(-1, order, 0.5 * (low + high + 1).double())
    score: Tensor = torch.special.ndtri((rank - 0.375) / (total + 0.25)).movedim(-1, 0).reshape(x.shape)
    return torch.where(x.isfinite().all(0).all(0), score, torch.nan)


def _variances(x: Tensor) -> tuple[Tensor, Tensor]:
    # W, and the estimate of the variance that also counts what lies between chains
    length = x.shape[1]
    within = x.var(1).mean(0)
    return within, within * (length - 1) / length + x.mean(1).var(0)


def _rhat(x: Tensor) -> Tensor:
    within, plus = _variances(x)
    return (plus / within).sqrt()
