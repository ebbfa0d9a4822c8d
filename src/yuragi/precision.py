"""The number format of the network's passes in a fit: that of its weights, or one with half as many bits."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["full", "bf16", "fp16"]
_FORMATS: dict[str, torch.dtype | None] = {"full": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def pass_dtype(precision: Precision, device: torch.device) -> torch.dtype | None:
    """What autocast is to make of the network's passes; None for none.

    Args:
        precision: "full", "bf16" or "fp16".
        device: where the network is.

    Raises:
        ValueError: another word, or a device for which torch has no autocast.

    Example:
        >>> pass_dtype("bf16", torch.device("cpu"))
        torch.bfloat16
    """
    if precision not in _FORMATS:
        raise ValueError(f"precision must be one of {', '.join(_FORMATS)}, got {precision!r}")
    dtype = _FORMATS[precision]
    if dtype is not None and not torch.amp.is_autocast_available(device.type):
        raise ValueError(f'torch has no mixed precision on {device.type}: use precision="full", or another device')
    return dtype
