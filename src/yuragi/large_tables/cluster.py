"""Files predicted on Ray: a worker loads the model once, and predicts one file after another.

A file is written under a name of its own, whole or not at all. So what a worker that dies was at can be done anew by another:
nothing is lost, and nothing is there twice.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from yuragi.large_tables.scoring import Done, Task
from yuragi.tables.errors import TableError
from yuragi.tables.loading import load_table_model
from yuragi.tables.model import TableModel


def run_on_ray(model: TableModel, task: Task, outputs: Sequence[str]) -> list[Done]:
    """Predict the files of a task, each into its own output, by as many workers as the cluster has processors for.

    Ray is started on this machine where it is not running and `RAY_ADDRESS` names no cluster.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        TableError: as for `Task.run`.
    """
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('the engine ray needs ray: pip install "yuragi[ray]"', name="ray") from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.yuragi"
        model.save(path)
        held = path.read_bytes()
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    absolute = [os.path.abspath(output) for output in outputs]
    task = replace(task, files=replace(task.files, paths=tuple(map(os.path.abspath, task.files.paths))))
    workers = max(1, min(len(outputs), int(ray.cluster_resources().get("CPU", 1))))
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    found = (
        ray.data.from_items([{"file": place} for place in range(len(outputs))], override_num_blocks=len(outputs))
        .map_batches(
            _Worker,
            fn_constructor_args=(ray.put(held), task, absolute),
            batch_size=1,
            concurrency=(1, workers),
            num_cpus=1,
        )
        .take_all()
    )
    done: dict[int, Any] = {one["file"]: one["done"] for one in found}
    refused = [done[place] for place in sorted(done) if isinstance(done[place], str)]
    if refused:
        raise TableError(refused[0])
    return [done[place] for place in range(len(outputs))]


class _Worker:
    """A process of the cluster, with the model in its memory."""

    def __init__(self, held: bytes, task: Task, outputs: Sequence[str]) -> None:
        import ray

        self.task, self.outputs = task, outputs
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.yuragi"
            path.write_bytes(ray.get(held) if isinstance(held, ray.ObjectRef) else held)
            self.model = load_table_model(path)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Predict the files of a batch; what is wrong with a table is no reason to try again, and is told."""
        done: list[Done | str] = []
        for place in batch["file"].tolist():
            try:
                done.append(self.task.run(self.model, [place], self.outputs[place]))
            except TableError as error:
                done.append(str(error))
        return {"file": batch["file"], "done": done}
