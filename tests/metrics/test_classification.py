"""Scores of class probabilities against loops, scikit-learn, scoringrules and known extremes."""

import math
from collections.abc import Callable

import pytest
import scoringrules
import sklearn.metrics
import torch
from torch import Tensor

from yuragi import metrics


def problem(shape: tuple[int, ...], classes: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(*shape, classes, generator=generator, dtype=torch.float64)
    return logits.softmax(-1), torch.randint(classes, shape, generator=generator)


def test_entropy() -> None:
    probs = torch.tensor([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]])
    torch.testing.assert_close(metrics.entropy(probs), torch.tensor([math.log(4), 0.0, math.log(2)]))


def test_mutual_information() -> None:
    certain = torch.eye(3).unsqueeze(1)  # three draws, each sure of another class: [3, 1, 3]
    torch.testing.assert_close(metrics.mutual_information(certain), torch.tensor([math.log(3)]))
    agreed = torch.tensor([0.7, 0.2, 0.1]).expand(50, 4, 3)
    information = metrics.mutual_information(agreed)
    assert (information >= 0).all()
    torch.testing.assert_close(information, torch.zeros(4), atol=1e-6, rtol=0)
    # I = KL between joint and product of draw and label, by its definition
    probs = torch.rand(6, 2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(-1)
    joint = probs / 6
    expected = (joint * (joint / (joint.sum(0) * joint.sum(-1, keepdim=True))).log()).sum((0, 2))
    torch.testing.assert_close(metrics.mutual_information(probs), expected)


def test_variation_ratio_counts_the_votes_against_the_most_frequent_label() -> None:
    generator = torch.Generator().manual_seed(0)
    probs = torch.rand(9, 4, 2, 3, generator=generator).softmax(-1)
    for value, votes in zip(metrics.variation_ratio(probs).flatten(), probs.argmax(-1).flatten(1).T, strict=True):
        most = max(votes.tolist().count(label) for label in range(3))
        assert float(value) == pytest.approx(1 - most / 9)
    assert metrics.variation_ratio(torch.eye(3).unsqueeze(1)).item() == pytest.approx(2 / 3)  # each draw another label
    assert torch.equal(metrics.variation_ratio(torch.tensor([0.6, 0.4]).expand(5, 7, 2)), torch.zeros(7))


@pytest.mark.parametrize("bins", [1, 5, 15])
@pytest.mark.parametrize("shape", [(200,), (40, 3)])
def test_calibration_error_by_a_loop_over_bins(shape: tuple[int, ...], bins: int) -> None:
    probs, y = problem(shape)
    rows = [
        (max(row), row.index(max(row)) == label)
        for row, label in zip(probs.reshape(-1, 4).tolist(), y.flatten().tolist(), strict=True)
    ]
    expected = 0.0
    for b in range(bins):
        inside = [(confidence, right) for confidence, right in rows if b / bins < confidence <= (b + 1) / bins]
        if inside:
            accuracy = sum(right for _, right in inside) / len(inside)
            expected += len(inside) / len(rows) * abs(accuracy - sum(c for c, _ in inside) / len(inside))
    assert metrics.expected_calibration_error(probs, y, bins) == pytest.approx(expected, abs=1e-12)


def test_calibration_error_of_the_extremes() -> None:
    sure = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert metrics.expected_calibration_error(sure, torch.tensor([0, 1])) == 0
    assert metrics.expected_calibration_error(sure, torch.tensor([1, 0])) == 1
    # labels drawn from the probabilities themselves: only sampling error is left, at most 1/2 a bin's standard error each
    probs = torch.rand(100_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    probs = probs / probs.sum(-1, keepdim=True)
    y = torch.multinomial(probs, 1, generator=torch.Generator().manual_seed(1)).squeeze(-1)
    assert metrics.expected_calibration_error(probs, y) < 15 * 0.5 / math.sqrt(100_000)


@pytest.mark.parametrize("shape", [(3,), (2, 1), ()])
def test_calibration_error_needs_labels_that_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"the labels must have shape \(2,\)"):
        metrics.expected_calibration_error(torch.full((2, 2), 0.5), torch.zeros(shape, dtype=torch.long))
    with pytest.raises(ValueError, match="at least one datum"):
        metrics.expected_calibration_error(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        metrics.expected_calibration_error(torch.full((2, 2), 0.5), torch.zeros(2, dtype=torch.long), 0)


def test_accuracy_versus_uncertainty_by_counting() -> None:
    generator = torch.Generator().manual_seed(0)
    right = torch.rand(50, generator=generator) < 0.7
    uncertainty = torch.rand(50, generator=generator)
    uncertainty[7] = 0.25  # on the threshold is certain
    thresholds = [-1.0, 0.0, 0.25, 0.5, 2.0]
    curve = metrics.accuracy_versus_uncertainty(right, uncertainty, torch.tensor(thresholds))
    for threshold, value in zip(thresholds, curve.tolist(), strict=True):
        good = sum(
            (r and u <= threshold) or (not r and u > threshold)
            for r, u in zip(right.tolist(), uncertainty.tolist(), strict=True)
        )
        assert value == pytest.approx(good / 50)
        assert float(metrics.accuracy_versus_uncertainty(right, uncertainty, threshold)) == value
    with pytest.raises(ValueError, match=r"must have one shape, with at least one datum: got \(50,\) and \(49,\)"):
        metrics.accuracy_versus_uncertainty(right, uncertainty[1:], 0.5)


@pytest.mark.parametrize("shape", [(200,), (40, 3)])
def test_proper_scores_are_those_of_scikit_learn(shape: tuple[int, ...]) -> None:
    probs, y = problem(shape)
    flat, labels = probs.reshape(-1, 4).numpy(), y.flatten().numpy()
    nll, brier = metrics.negative_log_likelihood(probs, y), metrics.brier_score(probs, y)
    assert nll.shape == brier.shape == shape
    assert float(nll.mean()) == pytest.approx(sklearn.metrics.log_loss(labels, flat, labels=range(4)))
    expected = sklearn.metrics.brier_score_loss(labels, flat, labels=range(4), scale_by_half=False)
    assert float(brier.mean()) == pytest.approx(expected)


def test_brier_score_of_two_classes_is_twice_that_of_one() -> None:
    probs, y = problem((50,), classes=2)
    expected = 2 * scoringrules.brier_score(y.numpy(), probs[:, 1].numpy(), backend="numpy")
    torch.testing.assert_close(metrics.brier_score(probs, y), torch.as_tensor(expected))


def test_proper_scores_of_the_extremes() -> None:
    sure = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    right, wrong = torch.tensor([0, 1]), torch.tensor([1, 0])
    assert metrics.brier_score(sure, right).tolist() == [0, 0]
    assert metrics.brier_score(sure, wrong).tolist() == [2, 2]
    assert metrics.negative_log_likelihood(sure, right).tolist() == [0, 0]
    assert metrics.negative_log_likelihood(sure, wrong).tolist() == [math.inf, math.inf]


def test_reliability_curve_by_a_loop_over_bins() -> None:
    probs, y = problem((40, 3))
    curve = metrics.reliability_curve(probs, y, bins=10)
    confidence, label = probs.flatten(0, 1).max(-1)
    right = label == y.flatten()
    rows = []
    for b in range(10):
        inside = (confidence > b / 10) & (confidence <= (b + 1) / 10)
        if inside.any():
            rows.append([confidence[inside].mean(), right[inside].double().mean(), inside.double().mean()])
    assert 0 < len(rows) < 10  # four classes: no confidence below 1/4
    expected = torch.tensor(rows, dtype=torch.float64)
    torch.testing.assert_close(torch.stack([curve.confidence, curve.accuracy, curve.share], 1), expected)


@pytest.mark.parametrize(
    "score",
    [
        metrics.brier_score,
        metrics.negative_log_likelihood,
        metrics.reliability_curve,
        metrics.expected_calibration_error,
    ],
)
def test_what_cannot_be_scored_is_refused(score: Callable[[Tensor, Tensor], object]) -> None:
    probs, y = torch.full((2, 2), 0.5), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"the labels must have shape \(2,\) .* got \(2, 1\)"):
        score(probs, y[:, None])
    with pytest.raises(ValueError, match="at least one datum"):
        score(probs[:0], y[:0])
    with pytest.raises(ValueError, match=r"labels must lie in 0…1, got 0…2"):
        score(probs, torch.tensor([0, 2]))
    with pytest.raises(ValueError, match=r"labels must lie in 0…1, got -1…0"):
        score(probs, torch.tensor([0, -1]))
    with pytest.raises(ValueError, match=r"must be integers, got dtype torch.float32"):
        score(probs, y.float())
    with pytest.raises(ValueError, match="probs holds 1 values that are NaN"):
        score(torch.tensor([[0.5, 0.5], [0.5, math.nan]]), y)
    for none in (torch.tensor([[2.0, -1.0], [0.5, 0.5]]), torch.ones(2, 2)):
        with pytest.raises(ValueError, match=r"must sum to 1 .* logits.softmax"):
            score(none, y)


def test_probabilities_of_half_precision_pass() -> None:
    probs, y = problem((200,), classes=100)
    half, whole = (metrics.brier_score(p, y).mean() for p in (probs.bfloat16(), probs))
    torch.testing.assert_close(half, whole, rtol=1e-2, atol=0)
