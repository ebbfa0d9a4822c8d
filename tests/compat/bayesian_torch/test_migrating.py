"""The code of docs/migrating.md runs."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

PAGE = Path(__file__).parents[3] / "docs" / "migrating.md"


def test_the_code_of_the_page_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shapes = {"0.{}_weight": (20, 1), "0.{}_bias": (20,), "2.{}_weight": (1, 20), "2.{}_bias": (1,)}
    theirs = {
        f"module.{name.format(part)}": torch.randn(shape) for name, shape in shapes.items() for part in ("mu", "rho")
    }
    torch.save(theirs, tmp_path / "theirs.pt")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 6
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks):
        with warnings.catch_warnings():
            if number == len(blocks) - 1:
                warnings.simplefilter("ignore")  # five epochs do not converge
            exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
        if number == 2:
            assert torch.equal(names["net"][0].weight, theirs["module.0.mu_weight"])
    assert names["logits"].shape == (8, 2)
