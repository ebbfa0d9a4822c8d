"""Scores of class probabilities: uncertainty of the label, proper scores, calibration of the confidence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from yuragi.metrics.checks import check_classes, double


def entropy(probs: Tensor) -> Tensor:
    """Entropy of class probabilities [..., C], nats: [...]."""
    terms: Tensor = torch.special.entr(probs)
    return terms.sum(-1)


def mutual_information(probs: Tensor) -> Tensor:
    """Information about the weights that the label would give: entropy of the mean less mean entropy, nats.

    Houlsby et al., "Bayesian active learning for classification and preference learning", 2011.

    Args:
        probs: class probabilities of each draw, [S, N, ..., C].

    Returns:
        [N, ...], never negative.
    """
    return (entropy(probs.mean(0)) - entropy(probs).mean(0)).clamp_min(0)


def variation_ratio(probs: Tensor) -> Tensor:
    """Share of draws that would give another label than the most frequent one: 0 where all agree, below 1 − 1/C.

    Freeman, "Elementary applied statistics", 1965.

    Args:
        probs: class probabilities of each draw, [S, N, ..., C].

    Returns:
        [N, ...].

    Example:
        >>> variation_ratio(torch.tensor([[[0.9, 0.1]], [[0.6, 0.4]], [[0.4, 0.6]], [[0.7, 0.3]]]))
        tensor([0.2500])
    """
    votes = torch.nn.functional.one_hot(probs.argmax(-1), probs.shape[-1])
    return 1 - votes.sum(0).amax(-1).to(probs.dtype) / len(probs)


def negative_log_likelihood(probs: Tensor, y: Tensor) -> Tensor:
    """−log of the probability of each label, nats; smaller is better, infinite where that probability is 0.

    A strictly proper score: smallest in expectation at the true probabilities.

    Args:
        probs: class probabilities, [N, ..., C].
        y: labels, integers [N, ...].

    Returns:
        float64 [N, ...].

    Raises:
        ValueError: the shapes do not agree, there are no data, the probabilities are none, or a label is out of range.

    Example:
        >>> negative_log_likelihood(torch.tensor([[0.5, 0.5], [0.1, 0.9]]), torch.tensor([0, 1]))
        tensor([0.6931, 0.1054], dtype=torch.float64)
    """
    check_classes(probs, y)
    values = double(probs)
    return -values.gather(-1, y.long().to(values.device).unsqueeze(-1)).squeeze(-1).log()


def brier_score(probs: Tensor, y: Tensor) -> Tensor:
    """Squared distance between class probabilities and the label as an indicator, Σ_c (p_c − [y = c])², from 0 to 2.

    A strictly proper score; that of one class of two alone is half of it. Brier, "Verification of forecasts expressed in
    terms of probability", 1950.

    Args:
        probs: class probabilities, [N, ..., C].
        y: labels, integers [N, ...].

    Returns:
        float64 [N, ...].

    Raises:
        ValueError: the shapes do not agree, there are no data, the probabilities are none, or a label is out of range.

    Example:
        >>> brier_score(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([0, 1]))
        tensor([0.5000, 2.0000], dtype=torch.float64)
    """
    check_classes(probs, y)
    values = double(probs)
    indicator = torch.nn.functional.one_hot(y.long().to(values.device), values.shape[-1])
    return (values - indicator).square().sum(-1)


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """Accuracy against confidence over the bins that hold data; on the diagonal where the probabilities are calibrated."""

    confidence: Tensor
    """Mean probability of the most probable class in each bin, [B]."""

    accuracy: Tensor
    """Share of those data whose label that class is, [B]."""

    share: Tensor
    """Share of all data that the bin holds, [B]."""


def reliability_curve(probs: Tensor, y: Tensor, bins: int = 15) -> ReliabilityCurve:
    """Accuracy against confidence in bins of confidence of equal width; empty bins are left out.

    Confidence is the probability of the most probable class, and bin b = 1…B holds those in ((b − 1)/B, b/B].
    Niculescu-Mizil & Caruana, "Predicting good probabilities with supervised learning", 2005.

    Args:
        probs: class probabilities, [N, ..., C].
        y: labels, integers [N, ...].
        bins: B.

    Returns:
        A `ReliabilityCurve`, float64.

    Raises:
        ValueError: the shapes do not agree, there are no data, the probabilities are none, a label is out of range, or
            `bins` is less than 1.

    Example:
        >>> curve = reliability_curve(torch.tensor([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6]]), torch.tensor([0, 1, 1]))
        >>> curve.confidence, curve.accuracy
        (tensor([0.6000, 0.8000], dtype=torch.float64), tensor([1.0000, 0.5000], dtype=torch.float64))
    """
    check_classes(probs, y)
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    confidence, label = double(probs).flatten(0, -2).max(-1)
    right = (label == y.flatten().to(label.device)).double()
    bin_of = (confidence * bins).ceil().long().clamp(1, bins) - 1
    zeros = torch.zeros(bins, dtype=torch.float64, device=label.device)
    count, sum_confidence, sum_right = (
        zeros.index_add(0, bin_of, values) for values in (torch.ones_like(confidence), confidence, right)
    )
    held = count > 0
    count = count[held]
    return ReliabilityCurve(sum_confidence[held] / count, sum_right[held] / count, count / y.numel())


def expected_calibration_error(probs: Tensor, y: Tensor, bins: int = 15) -> float:
    """Gap between confidence and accuracy, averaged over bins of confidence of equal width; smaller is better.

    ECE = Σ_b n_b/N · |accuracy of b − mean confidence of b|, over the bins of `reliability_curve`. Guo et al., "On
    calibration of modern neural networks", 2017.

    Args:
        probs: class probabilities, [N, ..., C].
        y: labels, integers [N, ...].
        bins: B.

    Raises:
        ValueError: the shapes do not agree, there are no data, the probabilities are none, a label is out of range, or
            `bins` is less than 1.

    Example:
        >>> probs = torch.tensor([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6]])
        >>> round(expected_calibration_error(probs, torch.tensor([0, 1, 1])), 4)  # (2·|1/2 − 0.8| + |1 − 0.6|)/3
        0.3333
    """
    curve = reliability_curve(probs, y, bins)
    return float((curve.share * (curve.accuracy - curve.confidence).abs()).sum())


def accuracy_versus_uncertainty(right: Tensor, uncertainty: Tensor, threshold: float | Tensor) -> Tensor:
    """Share of predictions that are right and certain, or wrong and uncertain; larger is better.

    AvU = (n_AC + n_IU) / (n_AC + n_AU + n_IC + n_IU), where certain means uncertainty ≤ threshold. Krishnan & Tickoo,
    "Improving model calibration with accuracy versus uncertainty optimization", 2020.

    Args:
        right: whether each prediction is right, bool [N, ...].
        uncertainty: of each prediction, as `entropy` or `mutual_information`, [N, ...].
        threshold: one, or several [T] for the curve of AvU.

    Returns:
        float64, of the shape of `threshold`.

    Raises:
        ValueError: the shapes of `right` and `uncertainty` differ, or there are no data.

    Example:
        >>> accuracy_versus_uncertainty(torch.tensor([True, True, False]), torch.tensor([0.1, 0.9, 0.8]), 0.5)
        tensor(0.6667, dtype=torch.float64)
    """
    if right.shape != uncertainty.shape or not right.numel():
        raise ValueError(
            f"right and uncertainty must have one shape, with at least one datum: got {tuple(right.shape)} and "
            f"{tuple(uncertainty.shape)}"
        )
    levels = torch.as_tensor(threshold, device=uncertainty.device)
    certain = uncertainty.flatten() <= levels.unsqueeze(-1)
    return (certain == right.flatten().bool()).double().mean(-1)
