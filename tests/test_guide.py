"""The commands of the guides run, and the guides in two languages have the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent


def commands(page: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("yuragi ")]


def test_both_guides_have_the_same_commands() -> None:
    japanese = [command.replace(" --lang ja", "") for command in commands("guide.ja.md")]
    assert commands("guide.md") == japanese
    assert {command.split()[1] for command in japanese} == {"fit", "predict", "evaluate", "report", "info"}


@pytest.mark.slow
def test_the_commands_run_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    quick = [command.replace("--time-budget 60s", "--time-budget 2s") for command in commands("guide.md")]
    script = "\n".join(["set -e", 'yuragi() { "$PYTHON" -m yuragi.cli "$@"; }', *quick])
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    predicted = pd.read_csv(tmp_path / "predicted.csv")
    held = (predicted["strength_MPa_lower"] <= predicted["strength_MPa"]) & (
        predicted["strength_MPa"] <= predicted["strength_MPa_upper"]
    )
    assert held.mean() > 0.3  # the last command asks for intervals that hold half of the rows; the fit had two seconds
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!")
