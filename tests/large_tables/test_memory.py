"""Memory that does not grow with the table: the peak of a process that fits and predicts, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

MEGABYTE = 1 << 20
# ru_maxrss of a process that was forked starts at that of its parent
PEAK = "int(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]) * 1024"

FIT = f"""
import json, sys
import pyarrow.csv, pyarrow.parquet
from yuragi.large_tables import fit_files, predict_files
import yuragi.tables
start = {PEAK}
path, budget = sys.argv[1], float(sys.argv[2])
model = fit_files(path, "y", posterior="anchored", members=2, time_budget=budget)
fitted = {PEAK}
done = predict_files(model, path, path + ".predicted.parquet", samples=2) if len(sys.argv) > 3 else None
print(json.dumps({{"start": start, "fitted": fitted, "end": {PEAK}, "rows": model.about["data"]["rows"],
                   "predicted": done and done.rows, "scores": model.about["scores"]["model"]}}))
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is not told here")


def write(path: Path, size: int) -> None:
    """A CSV file of so many bytes, a thousand a row: 20,000 rows over and over, each time with another number."""
    random = np.random.default_rng(0)
    x = random.normal(size=(20_000, 8))
    y = x[:, 0] + np.sin(3 * x[:, 1]) + 0.1 * random.normal(size=20_000)
    shops = random.integers(0, 50, 20_000)
    letters = random.integers(97, 123, (20_000, 880)).astype(np.uint8)
    rows = [
        f",{','.join(f'{value:.9f}' for value in row)},shop {shop},{text.tobytes().decode()},{target:.6f}\n"
        for row, shop, text, target in zip(x, shops, letters, y, strict=True)
    ]
    with open(path, "w") as file:
        file.write(f"row,{','.join(f'x{place}' for place in range(8))},shop,note,y\n")
        count = 0
        while file.tell() < size:
            file.write("".join(f"{count + place}{row}" for place, row in enumerate(rows)))
            count += len(rows)


def peak(path: Path, *arguments: str) -> dict[str, float]:
    ended = subprocess.run(
        [sys.executable, "-c", FIT, str(path), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, float] = json.loads(ended.stdout)
    return found


@pytest.mark.slow
def test_a_larger_table_takes_no_more_memory(tmp_path: Path) -> None:
    taken = []
    for size in (60, 180):
        write(tmp_path / "t.csv", size * MEGABYTE)
        found = peak(tmp_path / "t.csv", "20")
        taken.append(found["fitted"] - found["start"])
    # read whole, the table alone would take 120 MiB more
    assert taken[1] < taken[0] + 40 * MEGABYTE


@pytest.mark.slow
def test_two_gigabytes_are_fitted_and_predicted_in_one(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", 2048 * MEGABYTE)
    assert (tmp_path / "t.csv").stat().st_size >= 2048 * MEGABYTE
    found = peak(tmp_path / "t.csv", "120", "predict")
    assert found["fitted"] < 1024 * MEGABYTE
    assert found["end"] < 1024 * MEGABYTE
    assert found["predicted"] == found["rows"] > 2_000_000
    assert found["scores"]["rmse"] < 0.5  # type: ignore[index]
