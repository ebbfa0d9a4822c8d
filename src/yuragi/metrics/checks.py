"""What the scores ask of their arguments."""

from __future__ import annotations

from torch import Tensor

_SUM_TOLERANCE = 1e-2  # of bfloat16 probabilities


def double(values: Tensor) -> Tensor:
    """Values in float64; Apple's accelerator has none: there the scores are computed, and returned, on the CPU."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def check_targets(mean: Tensor, y: Tensor) -> None:
    """Refuse targets [N, *out] of another shape than the predictions [S, N, *out] without their first axis."""
    if mean.shape[1:] != y.shape:
        raise ValueError(f"predictions have shape {tuple(mean.shape[1:])}, but the targets have shape {tuple(y.shape)}")


def check_not_empty(name: str, values: Tensor) -> None:
    """Refuse a tensor without elements."""
    if not values.numel():
        raise ValueError(f"{name} has shape {tuple(values.shape)} and so no data: give at least one")


def check_no_nan(name: str, values: Tensor) -> None:
    """Refuse NaN; infinite values pass."""
    count = int(values.isnan().sum())
    if count:
        raise ValueError(f"{name} holds {count} values that are NaN: remove or impute them")


def check_level(what: str, level: float) -> None:
    """Refuse a probability that does not lie strictly between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"{what} must lie strictly between 0 and 1, got {level}")


def check_probs(probs: Tensor) -> None:
    """Refuse what are no class probabilities [..., C], logits above all."""
    check_no_nan("probs", probs)
    if bool((probs < 0).any()) or bool(((double(probs).sum(-1) - 1).abs() > _SUM_TOLERANCE).any()):
        raise ValueError("probs must not be negative and must sum to 1 over the last axis: give logits.softmax(-1)")


def check_classes(probs: Tensor, y: Tensor) -> None:
    """Refuse what are no class probabilities [..., C] with labels 0…C−1 [...] for them, at least one."""
    if probs.shape[:-1] != y.shape or not y.numel():
        raise ValueError(
            f"probs have shape {tuple(probs.shape)}, so the labels must have shape {tuple(probs.shape[:-1])} with at least "
            f"one datum, got {tuple(y.shape)}"
        )
    if y.is_floating_point() or y.is_complex():
        raise ValueError(f"class labels must be integers, got dtype {y.dtype}: convert them with y.long()")
    if int(y.min()) < 0 or int(y.max()) >= probs.shape[-1]:
        raise ValueError(f"labels must lie in 0…{probs.shape[-1] - 1}, got {int(y.min())}…{int(y.max())}")
    check_probs(probs)
