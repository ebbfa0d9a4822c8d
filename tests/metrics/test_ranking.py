"""Ranking by uncertainty against counting, enumeration and scikit-learn."""

import math
import sys
from collections.abc import Callable
from itertools import permutations

import pytest
import sklearn.metrics
import torch
from torch import Tensor

from yuragi import metrics


def problem(ties: bool) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    uncertainty = torch.rand(60, 2, generator=generator, dtype=torch.float64)
    flagged = torch.rand(60, 2, generator=generator, dtype=torch.float64) < 0.2 + 0.6 * uncertainty
    return (10 * uncertainty).round() if ties else uncertainty, flagged


@pytest.mark.parametrize("ties", [False, True])
def test_auroc_counts_the_pairs_in_order(ties: bool) -> None:
    uncertainty, flagged = problem(ties)
    gaps = uncertainty[flagged][:, None] - uncertainty[~flagged][None]
    expected = (gaps > 0).double().mean() + 0.5 * (gaps == 0).double().mean()
    assert metrics.auroc(uncertainty, flagged) == pytest.approx(float(expected))
    assert metrics.auroc(-uncertainty, flagged) == pytest.approx(1 - float(expected))
    assert metrics.ood_auroc(uncertainty[~flagged], uncertainty[flagged]) == pytest.approx(float(expected))


@pytest.mark.parametrize("ties", [False, True])
def test_aupr_sums_precision_over_the_steps_of_recall(ties: bool) -> None:
    uncertainty, flagged = problem(ties)
    expected, recall_before = 0.0, 0.0
    for threshold in sorted(set(uncertainty.flatten().tolist()), reverse=True):
        found = flagged & (uncertainty >= threshold)
        precision = float(found.sum() / (uncertainty >= threshold).sum())
        recall = float(found.sum() / flagged.sum())
        expected += precision * (recall - recall_before)
        recall_before = recall
    assert metrics.aupr(uncertainty, flagged) == pytest.approx(expected)
    assert metrics.ood_aupr(uncertainty[~flagged], uncertainty[flagged]) == pytest.approx(expected)


def test_perfect_and_useless_rankings() -> None:
    flagged = torch.tensor([False, True, False, True, False])
    assert metrics.auroc(flagged.double(), flagged) == metrics.aupr(flagged.double(), flagged) == 1
    assert metrics.auroc(torch.ones(5), flagged) == 0.5
    assert metrics.aupr(torch.ones(5), flagged) == pytest.approx(2 / 5)


@pytest.mark.parametrize("score", [metrics.auroc, metrics.aupr])
def test_rankings_that_cannot_be_made(score: Callable[[Tensor, Tensor], float]) -> None:
    for flagged in (torch.zeros(3, dtype=torch.bool), torch.ones(3, dtype=torch.bool)):
        with pytest.raises(ValueError, match=r"[03] of 3 data are flagged: .* needs both"):
            score(torch.rand(3), flagged)
    some = torch.tensor([True, False, True])
    with pytest.raises(ValueError, match=r"must have one shape, got \(3,\) and \(2,\)"):
        score(torch.rand(2), some)
    with pytest.raises(ValueError, match=r"flagged must be bool, got dtype torch.int64"):
        score(torch.rand(3), some.long())
    with pytest.raises(ValueError, match="uncertainty holds 1 values that are NaN"):
        score(torch.tensor([0.0, math.nan, 1.0]), some)
    with pytest.raises(ValueError, match="uncertainty holds infinite values"):
        score(torch.tensor([0.0, math.inf, 1.0]), some)
    with pytest.raises(ValueError, match="no data"):
        score(torch.rand(0), some[:0])


def test_two_samples_need_data_each() -> None:
    with pytest.raises(ValueError, match=r"inside has shape .* no data"):
        metrics.ood_auroc(torch.rand(0), torch.rand(3))
    with pytest.raises(ValueError, match=r"outside has shape .* no data"):
        metrics.ood_aupr(torch.rand(3), torch.rand(0))


@pytest.mark.parametrize("name", ["auroc", "aupr"])
def test_a_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=rf"{name} needs the package scikit-learn: pip install \"yuragi\[sklearn\]\""):
        getattr(metrics, name)(torch.tensor([0.0, 1.0]), torch.tensor([False, True]))


@pytest.mark.parametrize("numeric", [False, True])
def test_risk_coverage_curve_by_sorting(numeric: bool) -> None:
    uncertainty, wrong = problem(ties=False)
    loss = torch.rand(60, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) if numeric else wrong
    rows = sorted(zip(uncertainty.flatten().tolist(), loss.double().flatten().tolist(), strict=True))
    curve = metrics.risk_coverage_curve(loss, uncertainty)
    risks = [sum(value for _, value in rows[:k]) / k for k in range(1, 121)]
    torch.testing.assert_close(curve.risk, torch.tensor(risks, dtype=torch.float64))
    torch.testing.assert_close(curve.coverage, torch.arange(1, 121, dtype=torch.float64) / 120)
    assert metrics.aurc(loss, uncertainty) == pytest.approx(sum(risks) / 120)
    assert float(curve.risk[-1]) == pytest.approx(float(loss.double().mean()))


def test_ties_count_in_expectation_over_their_orders() -> None:
    loss, uncertainty = torch.tensor([0.0, 3.0, 1.0, 7.0, 2.0]), torch.tensor([1.0, 0.0, 1.0, 1.0, 5.0])
    curves = [torch.tensor([3.0, *(loss[i] for i in order), 2.0]).cumsum(0) for order in permutations([0, 2, 3])]
    expected = torch.stack(curves).mean(0) / torch.arange(1, 6)
    torch.testing.assert_close(metrics.risk_coverage_curve(loss, uncertainty).risk, expected.double())


def test_area_under_the_risk_coverage_curve_of_the_extremes() -> None:
    uncertainty, wrong = problem(ties=False)
    useless = metrics.aurc(wrong, torch.zeros(60, 2))
    assert useless == pytest.approx(float(wrong.double().mean()))
    assert metrics.aurc(wrong, wrong.double()) < metrics.aurc(wrong, uncertainty) < useless
    # the best ranking puts the errors last: risk is 0 up to the first of them
    errors, rows = int(wrong.sum()), wrong.numel()
    best = sum((k - (rows - errors)) / k for k in range(rows - errors + 1, rows + 1)) / rows
    assert metrics.aurc(wrong, wrong.double()) == pytest.approx(best)


def test_risk_of_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"loss and uncertainty must have one shape, got \(3,\) and \(2,\)"):
        metrics.aurc(torch.zeros(3), torch.zeros(2))
    with pytest.raises(ValueError, match=r"loss has shape .* no data"):
        metrics.risk_coverage_curve(torch.zeros(0), torch.zeros(0))
    with pytest.raises(ValueError, match="loss holds 1 values that are NaN"):
        metrics.aurc(torch.tensor([math.nan, 1.0]), torch.zeros(2))
    with pytest.raises(ValueError, match="uncertainty holds 2 values that are NaN"):
        metrics.aurc(torch.zeros(2), torch.full((2,), math.nan))


def test_auroc_and_aupr_of_half_precision_and_of_gradients() -> None:
    uncertainty, flagged = problem(ties=True)
    half = uncertainty.half().requires_grad_()
    expected = sklearn.metrics.roc_auc_score(flagged.flatten().numpy(), uncertainty.flatten().numpy())
    assert metrics.auroc(half, flagged) == pytest.approx(expected)
