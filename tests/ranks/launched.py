"""Functions run by several processes at once, forked from one that has imported what they need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

_SCRIPT = """
import sys
from lightning_fabric import Fabric
from tests.ranks import {module} as scenarios

folder = sys.argv[1]
for count in {counts}:
    fabric = Fabric(accelerator="cpu", devices=count, strategy="ddp_fork")
    fabric.launch(scenarios.run, folder)
"""


def launch(module: str, counts: list[int], folder: Path) -> None:
    """Let `tests.ranks.<module>.run(fabric, folder)` run in so many processes, once for each of `counts`."""
    worker = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(module=module, counts=counts), str(folder)],
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert worker.returncode == 0, worker.stderr


def found(folder: Path, count: int) -> list[dict[str, Any]]:
    """What each of `count` processes saved, by rank."""
    return [torch.load(folder / f"{count}-{rank}.pt", weights_only=True) for rank in range(count)]
