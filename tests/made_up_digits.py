"""MNIST's four files with made-up digits in them."""

from __future__ import annotations

import gzip
from pathlib import Path

import torch
from torch import Tensor


def write_idx(path: Path, values: Tensor) -> None:
    header = b"\0\0\x08" + bytes([values.dim()]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(gzip.compress(header + bytes(values.flatten().tolist())))


def write_made_up_digits(folder: Path, train: int = 300, test: int = 100) -> None:
    """Digit k is a bright block in its own place, with noise."""
    generator = torch.Generator().manual_seed(0)
    for part, count in (("train", train), ("t10k", test)):
        labels = torch.randint(10, (count,), generator=generator)
        images = torch.randint(0, 200, (count, 28, 28), generator=generator)
        for image, label in zip(images, labels.tolist(), strict=True):
            row, column = divmod(label, 4)
            image[4 + 7 * row : 9 + 7 * row, 2 + 6 * column : 7 + 6 * column] = 255
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)
