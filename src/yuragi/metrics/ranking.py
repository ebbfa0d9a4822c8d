"""Does the uncertainty point at what is wrong? Telling errors and strange inputs apart, and answering only when sure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from yuragi.metrics.checks import check_no_nan, check_not_empty, double


def auroc(uncertainty: Tensor, flagged: Tensor) -> float:
    """Area under the receiver operating characteristic: P(a flagged datum is more uncertain than another), ties ½.

    1 where every flagged datum is more uncertain than every other, ½ by chance. Needs `pip install "yuragi[sklearn]"`.

    Args:
        uncertainty: of each prediction, as `entropy` or `mutual_information` or a standard deviation, [N, ...].
        flagged: bool [N, ...]: errors (`p.label != y`), or whatever should be uncertain.

    Raises:
        ValueError: the shapes differ, `flagged` is not bool or the same everywhere, or a value is NaN or infinite.
        ImportError: scikit-learn is missing.

    Example:
        >>> auroc(torch.tensor([0.1, 0.4, 0.3, 0.9]), torch.tensor([False, False, True, True]))
        0.75
    """
    return float(_sklearn("auroc").roc_auc_score(*_arrays(uncertainty, flagged)))


def aupr(uncertainty: Tensor, flagged: Tensor) -> float:
    """Area under the precision–recall curve for finding what is flagged: average precision, without interpolation.

    By chance it is the share of flagged data. Arguments and errors as for `auroc`.

    Example:
        >>> round(aupr(torch.tensor([0.1, 0.4, 0.3, 0.9]), torch.tensor([False, False, True, True])), 4)  # (1 + 2/3)/2
        0.8333
    """
    return float(_sklearn("aupr").average_precision_score(*_arrays(uncertainty, flagged)))


def ood_auroc(inside: Tensor, outside: Tensor) -> float:
    """P(an input from outside the distribution is more uncertain than one from inside), ties ½: `auroc` of two samples.

    Args:
        inside: uncertainty of inputs like the training data, any shape.
        outside: uncertainty of inputs from elsewhere, any shape.

    Example:
        >>> ood_auroc(torch.tensor([0.1, 0.4]), torch.tensor([0.3, 0.9]))
        0.75
    """
    return auroc(*_flag_outside(inside, outside))


def ood_aupr(inside: Tensor, outside: Tensor) -> float:
    """Average precision of finding the inputs from outside the distribution: `aupr` of two samples, as for `ood_auroc`."""
    return aupr(*_flag_outside(inside, outside))


@dataclass(frozen=True, eq=False)
class RiskCoverageCurve:
    """The mean loss that is left when only the most certain predictions are used."""

    coverage: Tensor
    """Share of predictions used, 1/N … 1, [N]."""

    risk: Tensor
    """Mean loss of those, [N]."""


def risk_coverage_curve(loss: Tensor, uncertainty: Tensor) -> RiskCoverageCurve:
    """Mean loss of the k most certain predictions, k = 1…N, in expectation over the order of equally uncertain ones.

    El-Yaniv & Wiener, "On the foundations of noise-free selective classification", 2010.

    Args:
        loss: of each prediction: whether it is wrong (bool), or any number, as a squared error; [N, ...].
        uncertainty: of each prediction, [N, ...].

    Returns:
        A `RiskCoverageCurve`, float64.

    Raises:
        ValueError: the shapes differ, there are no data, or a value is NaN.

    Example:
        >>> risk_coverage_curve(torch.tensor([True, False, False]), torch.tensor([0.9, 0.1, 0.2])).risk
        tensor([0.0000, 0.0000, 0.3333], dtype=torch.float64)
    """
    _check_pairs("loss", loss, uncertainty)
    values = double(loss).flatten()
    _, group, sizes = double(uncertainty).flatten().unique(return_inverse=True, return_counts=True)
    group = group.to(values.device)
    means = torch.zeros(len(sizes), dtype=torch.float64, device=values.device).index_add(0, group, values) / sizes
    count = torch.arange(1, len(values) + 1, dtype=torch.float64, device=values.device)
    return RiskCoverageCurve(count / len(values), means[group.sort().values].cumsum(0) / count)


def aurc(loss: Tensor, uncertainty: Tensor) -> float:
    """Area under the risk–coverage curve, smaller is better: its mean risk over k = 1…N.

    `aurc(loss, loss)` is the least that any uncertainty could reach with these predictions, and the mean loss is what
    chance reaches. Geifman, Uziel & El-Yaniv, "Bias-reduced uncertainty estimation for deep neural classifiers", 2019.

    Args:
        loss: of each prediction, bool or numbers, [N, ...].
        uncertainty: of each prediction, [N, ...].

    Raises:
        ValueError: the shapes differ, there are no data, or a value is NaN.

    Example:
        >>> round(aurc(torch.tensor([True, False, False]), torch.tensor([0.9, 0.1, 0.2])), 4)
        0.1111
    """
    return float(risk_coverage_curve(loss, uncertainty).risk.mean())


def _check_pairs(name: str, values: Tensor, uncertainty: Tensor) -> None:
    if values.shape != uncertainty.shape:
        raise ValueError(
            f"{name} and uncertainty must have one shape, got {tuple(values.shape)} and {tuple(uncertainty.shape)}"
        )
    check_not_empty(name, values)
    check_no_nan(name, values)
    check_no_nan("uncertainty", uncertainty)


def _arrays(uncertainty: Tensor, flagged: Tensor) -> list[Any]:
    if flagged.dtype != torch.bool:
        raise ValueError(f"flagged must be bool, got dtype {flagged.dtype}: give a comparison, as p.label != y")
    _check_pairs("flagged", flagged, uncertainty)
    if not bool(uncertainty.isfinite().all()):
        raise ValueError("uncertainty holds infinite values, which cannot be ranked: remove or clip them")
    count = int(flagged.sum())
    if count in (0, flagged.numel()):
        raise ValueError(
            f"{count} of {flagged.numel()} data are flagged: ranking compares flagged data with others, and needs both"
        )
    return [part.detach().flatten().cpu().numpy() for part in (flagged, double(uncertainty))]


def _flag_outside(inside: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
    for name, values in (("inside", inside), ("outside", outside)):
        check_not_empty(name, values)
    inside, outside = double(inside).flatten(), double(outside).flatten()
    flagged = torch.cat([torch.zeros_like(inside, dtype=torch.bool), torch.ones_like(outside, dtype=torch.bool)])
    return torch.cat([inside, outside]), flagged


def _sklearn(needed_by: str) -> Any:
    try:
        from sklearn import metrics
    except ImportError as error:
        raise ImportError(
            f'{needed_by} needs the package scikit-learn: pip install "yuragi[sklearn]"', name=error.name
        ) from error
    return metrics
