"""The server in a process of its own: many clients, slow ones, and an end that breaks nothing off."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pandas as pd
import pytest
from tests.cli.running import started
from tests.serving.asking import CSV, as_csv, as_json, new_rows, with_spreads

pytestmark = pytest.mark.slow

SAMPLES, REQUESTS = 20, 120


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`yuragi serve` of the model with spreads, and its port."""
    with_spreads().save(folder / "m.yuragi")
    process = started(folder, "serve", "m.yuragi", "--port", "0", "--samples", str(SAMPLES), *options)
    assert process.stdout is not None
    try:
        said = process.stdout.readline().decode()
        found = re.search(r"at http://127\.0\.0\.1:(\d+)$", said.strip())
        assert found is not None, said
        yield process, int(found[1])
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out.decode().splitlines()[-1], err.decode()


def reply_to(port: int, sent: bytes, patience: float = 60) -> bytes:
    """What comes back for raw bytes, until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), patience) as connection:
        connection.sendall(sent)
        found = b""
        while part := connection.recv(65536):
            found += part
    return found


def test_nothing_is_lost_or_mixed_up_under_load(tmp_path: Path) -> None:
    rows = [new_rows().iloc[[place % 12]].assign(size=5 + place / 11) for place in range(REQUESTS)]
    predicted = with_spreads().predict_table(pd.concat(rows), samples=SAMPLES)
    expected = predicted.iloc[:, 5:].to_dict("records")
    assert len({row["price_mean"] for row in expected}) == REQUESTS

    with serving(tmp_path, "--at-once", "3", "--waiting", "4") as (process, port):

        def ask(number: int) -> tuple[int, Any]:
            # eight clients on seven places: some are turned away, and come again
            turned_away = 0
            while True:
                reply = clients[number % 8].post("/predict", json=as_json(rows[number]))
                if reply.status_code == 200:
                    return turned_away, reply.json()["predictions"]
                assert reply.status_code == 503
                assert reply.headers["retry-after"] == "1"
                turned_away += 1
                time.sleep(0.01)

        clients = [httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) for _ in range(8)]
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            found = list(pool.map(ask, range(REQUESTS)))
        assert sum(turned_away for turned_away, _ in found) > 0
        for (_, predictions), row in zip(found, expected, strict=True):
            # this process may have another number of threads, and so add in another order
            assert predictions == [pytest.approx(row, rel=1e-6)]
        for client in clients:
            client.close()
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, "stopped", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_under_way_are_answered_before_the_end(number: signal.Signals, tmp_path: Path) -> None:
    body = as_csv(new_rows())
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n" % len(body)
    with serving(tmp_path) as (process, port):
        with socket.create_connection(("127.0.0.1", port), 60) as connection:
            connection.sendall(head + body[:50])
            time.sleep(1)  # it is under way
            process.send_signal(number)
            time.sleep(1)
            with pytest.raises(OSError):
                socket.create_connection(("127.0.0.1", port), 5)
            connection.sendall(body[50:])
            found = b""
            while part := connection.recv(65536):
                found += part
        assert found.startswith(b"HTTP/1.1 200 OK")
        assert len(found.split(b"\r\n\r\n")[1].splitlines()) == 13
        assert ended(process) == (0, "stopped", "")


def test_slow_and_large_requests_end_and_others_go_on(tmp_path: Path) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
    with serving(tmp_path, "--timeout", "2s", "--max-body", "1", "--waiting", "3") as (process, port):
        large = b"x" * (2**20 + 1)
        declared = reply_to(port, head + b"Content-Length: %d\r\n\r\n" % len(large) + large)
        assert declared.startswith(b"HTTP/1.1 413 ")
        part = b"%x\r\n" % 65536 + b"x" * 65536 + b"\r\n"
        assert reply_to(port, head + b"Transfer-Encoding: chunked\r\n\r\n" + part * 40 + b"0\r\n\r\n").startswith(
            b"HTTP/1.1 413 "
        )
        assert reply_to(port, head + b"Content-Length: -5\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            slow = [pool.submit(reply_to, port, head + b"Content-Length: 500\r\n\r\nsize") for _ in range(4)]
            start = time.monotonic()
            for one in slow:
                found = one.result()
                assert found.startswith(b"HTTP/1.1 408 ")
                assert b"did not arrive within 2 s" in found
        assert time.monotonic() - start < 30
        good = httpx2.post(f"http://127.0.0.1:{port}/predict", content=as_csv(new_rows()), headers=CSV, timeout=60)
        assert good.status_code == 200
        process.send_signal(signal.SIGTERM)
        code, _, err = ended(process)
        assert code == 0
        assert "Traceback" not in err


def test_who_goes_away_does_no_harm(tmp_path: Path) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: 500\r\n\r\nsize"
    with serving(tmp_path, "--at-once", "1", "--waiting", "0") as (process, port):
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port), 60) as connection:
                connection.sendall(head)
            time.sleep(0.2)
        reply = httpx2.post(f"http://127.0.0.1:{port}/predict", json=as_json(new_rows(1)), timeout=60)
        assert json.loads(reply.content)["target"] == "price"
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, "stopped", "")
