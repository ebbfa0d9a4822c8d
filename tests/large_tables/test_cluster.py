"""Predicting on Ray: the local answer, row for row, also where workers die."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.made_up_tables import model, model_file, table

from yuragi.large_tables import predict_files

pytest.importorskip("ray")

# in a process of its own: Ray's workers, its warnings and its signal handlers are not of the other tests
RUN = """
import json, sys
from yuragi.large_tables import predict_files
from yuragi.tables import load_table_model
from yuragi.tables.errors import TableError
import ray
{before}
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
try:
    done = predict_files(load_table_model("m.yuragi"), "part-*.parquet", "ray/", seed=5, engine="ray")
except TableError as error:
    print(json.dumps({{"error": str(error)}}))
else:
    print(json.dumps({{"rows": done.rows, "notes": done.notes, "added": done.added, "files": done.files}}))
"""

# the first worker that comes to the fourth file writes half of its predictions, and dies
KILLED = """
import os, signal
from pathlib import Path
import yuragi.large_tables.cluster as cluster
class Worker(cluster._Worker):
    def __call__(self, batch):
        Path("seen").open("a").write(f"{os.getpid()} {int(batch['file'][0])}\\n")
        if 3 in batch["file"] and not os.path.exists("killed"):
            Path("killed").touch()
            from yuragi.large_tables import scoring
            write = scoring.appending
            def dying(*arguments):
                os.kill(os.getpid(), signal.SIGKILL)
            scoring.together = dying
        return super().__call__(batch)
cluster._Worker = Worker
"""


def parts(folder: Path, count: int = 6) -> None:
    frame = table(90, seed=1).drop(columns=["kind", "price"])
    for place, rows in enumerate(np.array_split(np.arange(90), count)):
        frame.iloc[rows].to_parquet(folder / f"part-{place}.parquet", row_group_size=5)
    (folder / "m.yuragi").write_bytes(model_file())


def on_ray(folder: Path, before: str = "") -> dict[str, object]:
    ended = subprocess.run(
        [sys.executable, "-c", RUN.format(before=before)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, object] = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
    return found


def check(folder: Path, found: dict[str, object]) -> None:
    done = predict_files(model(), str(folder / "part-*.parquet"), f"{folder}/local/", seed=5)
    assert (found["rows"], found["added"], found["notes"]) == (90, list(done.added), list(done.notes))
    names = [f"part-{place}.parquet" for place in range(6)]
    written = [path.name for path in (folder / "ray").iterdir()]
    # nothing else, and nothing half written but what a killed worker had no time to remove
    assert sorted(name for name in written if not name.startswith(".yuragi-")) == names
    for name in names:
        local, ray = (pd.read_parquet(folder / where / name) for where in ("local", "ray"))
        pd.testing.assert_frame_equal(ray, local, rtol=1e-12, atol=0)


@pytest.mark.slow
def test_it_is_the_local_answer(tmp_path: Path) -> None:
    parts(tmp_path)
    check(tmp_path, on_ray(tmp_path))


@pytest.mark.slow
def test_what_a_killed_worker_was_at_is_done_anew(tmp_path: Path) -> None:
    parts(tmp_path)
    found = on_ray(tmp_path, KILLED)
    assert (tmp_path / "killed").exists()
    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    tried = [process for process, file in seen if file == "3"]
    assert len(set(tried)) == 2  # by one that died, and by another
    check(tmp_path, found)


@pytest.mark.slow
def test_what_is_wrong_with_a_table_is_told(tmp_path: Path) -> None:
    parts(tmp_path)
    for place in range(6):
        path = tmp_path / f"part-{place}.parquet"
        pd.read_parquet(path).drop(columns="colour").to_parquet(path)
    assert "1 column of the training table is missing: 'colour'" in str(on_ray(tmp_path)["error"])
