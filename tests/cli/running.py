"""Running the command line in this process, and in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.made_up_tables import model_file, table

from yuragi import cli


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    """Run the command line in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main(list(arguments))
    out, err = capsys.readouterr()
    return Ended(int(stop.value.code or 0), out, err)


def started(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start the command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "yuragi.cli", *arguments],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def fill(folder: Path) -> None:
    """Put tables and models into a folder: train.csv, new.csv, price.yuragi, kind.yuragi."""
    table().drop(columns="kind").to_csv(folder / "train.csv", index=False)
    table(12, seed=1).drop(columns=["kind", "price"]).to_csv(folder / "new.csv", index=False)
    table(40, seed=2).to_csv(folder / "test.csv", index=False)
    for target in ("price", "kind"):
        (folder / f"{target}.yuragi").write_bytes(model_file(target))
