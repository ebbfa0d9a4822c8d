"""What a prediction costs over HTTP: `yuragi serve` on loopback beside a bare call of the model, in the same run.

    python benchmarks/serving.py --requests 300 --clients 1 4 16 --rows 1 100 --out serving.md

Every request has rows of its own, and every answer is held against the model's: one that is lost or another's ends the run.
Clients wait for an answer before they ask again. The bare call is `TableModel.predict_table` of the same rows.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import yuragi as yu
from yuragi.tables import TableModel, fit_table, load_table_model

TARGET = "y"
HEADS = {"Content-Type": "application/json"}


def made_up(rows: int, seed: int) -> pd.DataFrame:
    """A table of eight numbers and a category, with its target."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, 8)), columns=[f"x{n}" for n in range(8)])
    frame["kind"] = rng.choice(["a", "b", "c"], rows)
    frame[TARGET] = np.sin(frame["x0"]) + frame["x1"] * (frame["kind"] == "a") + 0.1 * rng.normal(size=rows)
    return frame


def batches(count: int, rows: int) -> list[pd.DataFrame]:
    """As many requests, all of different rows."""
    frame = made_up(count * rows, seed=1).drop(columns=TARGET)
    return [frame.iloc[start : start + rows] for start in range(0, len(frame), rows)]


@contextmanager
def served(path: Path, clients: int) -> Iterator[int]:
    """`yuragi serve` in a process of its own; its port."""
    command = [sys.executable, "-m", "yuragi.cli", "serve", str(path), "--port", "0", "--waiting", str(clients)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r":(\d+)$", line.strip())
        if found is None:
            raise SystemExit(f"the server did not start: {line!r}")
        yield int(found[1])
    finally:
        process.terminate()
        process.communicate()


def bare(model: TableModel, asked: Sequence[pd.DataFrame]) -> tuple[list[float], list[list[float]]]:
    """Seconds of each call of the model, and the means that it gives."""
    model.predict_table(asked[0])
    times, means = [], []
    for rows in asked:
        start = time.perf_counter()
        predicted = model.predict_table(rows)
        times.append(time.perf_counter() - start)
        means.append(predicted[f"{TARGET}_mean"].tolist())
    return times, means


def over_http(
    port: int, asked: Sequence[pd.DataFrame], clients: int
) -> tuple[list[float], list[list[float] | None], float]:
    """Seconds of each request, the means of its answer, and seconds of all of them together."""
    bodies = [json.dumps({"rows": rows.to_dict("records")}) for rows in asked]
    times = [0.0] * len(asked)
    means: list[list[float] | None] = [None] * len(asked)

    def work(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for number in range(first, len(bodies), clients):
            start = time.perf_counter()
            connection.request("POST", "/predict", bodies[number], HEADS)
            reply = connection.getresponse()
            content = reply.read()
            times[number] = time.perf_counter() - start
            if reply.status == 200:
                means[number] = [row[f"{TARGET}_mean"] for row in json.loads(content)["predictions"]]
        connection.close()

    threads = [threading.Thread(target=work, args=(first,)) for first in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times, means, time.perf_counter() - start


def line(name: str, rows: int, times: Sequence[float], seconds: float) -> str:
    """A row of the table: milliseconds at the 50th and 99th percentile, and requests a second."""
    middle, high = np.percentile(times, [50, 99]) * 1e3
    return f"| {name} | {rows} | {middle:.1f} | {high:.1f} | {len(times) / seconds:.1f} |"


def main(arguments: list[str] | None = None) -> list[str]:
    """Fit a small model, serve it, ask, compare, print; the lines of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 100], help="of a request")
    parser.add_argument("--epochs", type=int, default=50, help="of the fit")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    lines = ["| | rows | p50, ms | p99, ms | requests a second |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.yuragi"
        fit_table(made_up(2000, seed=0), TARGET, epochs=options.epochs, held_out=0).save(path)
        model = load_table_model(path)
        with served(path, max(options.clients)) as port:
            for rows in options.rows:
                asked = batches(options.requests, rows)
                times, expected = bare(model, asked)
                lines.append(line("the model alone", rows, times, sum(times)))
                over_http(port, asked[: 2 * max(options.clients)], max(options.clients))  # not counted
                for clients in options.clients:
                    times, means, seconds = over_http(port, asked, clients)
                    lost = [number for number, one in enumerate(means) if one is None]
                    if lost or not np.allclose(np.array(means), np.array(expected), rtol=1e-6):
                        raise SystemExit(
                            f"{clients} clients: {len(lost)} of {len(asked)} requests lost, or answers mixed up"
                        )
                    lines.append(line(f"over HTTP, {clients} client{'s' * (clients > 1)}", rows, times, seconds))
    lines += [
        "",
        f"yuragi {yu.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads of the model alone.",
    ]
    print("\n".join(lines))
    if options.out is not None:
        options.out.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return lines


if __name__ == "__main__":
    main()
