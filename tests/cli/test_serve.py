"""`yuragi serve`: what it says before it serves, and how it ends."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from tests.cli.running import run

from yuragi.serving import server


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be served: the application, its address, and what it answered to a request."""
    found: list[Any] = []

    def note(app: Any, listener: socket.socket, grace: float) -> None:
        found.append((listener.getsockname()[:2], grace, TestClient(app).get("/schema").json()))

    monkeypatch.setattr("yuragi.serving.run", note)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: found.append(number))
    return found


def test_it_listens_on_this_machine_alone(folder: Path, capsys: pytest.CaptureFixture[str], served: list[Any]) -> None:
    ended = run(capsys, "serve", "price.yuragi", "--port", "0")
    threads, ((host, port), grace, schema) = served
    assert (host, threads, grace) == ("127.0.0.1", 1, 30)
    assert ended.code == 0
    assert ended.out.splitlines() == [
        f"serving price, a regression, at http://127.0.0.1:{port}",
        "a request may have 8 MiB and 10,000 rows, and take 30 s; 6 are worked on at once, and 16 wait",
        "stopped",
    ]
    assert ended.err == ""
    assert schema["limits"] == {"bytes": 8 * 2**20, "rows": 10_000, "seconds": 30}


def test_limits_are_as_they_are_given(folder: Path, capsys: pytest.CaptureFixture[str], served: list[Any]) -> None:
    limits = ("--max-body", "2", "--max-rows", "50", "--timeout", "2m", "--at-once", "3", "--waiting", "0")
    ended = run(capsys, "serve", "kind.yuragi", "--host", "0.0.0.0", "--port", "0", *limits)
    threads, ((host, _), grace, schema) = served
    assert (host, threads, grace) == ("0.0.0.0", 2, 120)
    assert schema["limits"] == {"bytes": 2 * 2**20, "rows": 50, "seconds": 120}
    assert "2 MiB and 50 rows, and take 120 s; 3 are worked on at once, and 0 wait" in ended.out
    assert "note: who can reach this address can use it" in ended.err


def test_a_port_that_is_taken(folder: Path, capsys: pytest.CaptureFixture[str], served: list[Any]) -> None:
    with server.listen("127.0.0.1", 0) as taken:
        ended = run(capsys, "serve", "price.yuragi", "--port", str(taken.getsockname()[1]))
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("yuragi: Address already in use")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.yuragi",), "No such file or directory: none.yuragi"),
        (("new.csv",), "new.csv is not a file that yuragi.save wrote"),
        (("price.yuragi", "--host", "203.0.113.1", "--port", "0"), "Cannot assign requested address"),
        (("price.yuragi", "--host", "no such host", "--port", "0"), "yuragi: "),
    ],
)
def test_what_cannot_be_served(
    arguments: tuple[str, ...],
    message: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    served: list[Any],
) -> None:
    ended = run(capsys, "serve", *arguments)
    assert (ended.code, ended.out) == (1, "")
    assert message in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [("--port", "70000"), ("--max-rows", "0"), ("--timeout", "soon"), ("--at-once", "0"), ("--waiting", "-1")],
)
def test_an_option_that_is_given_wrongly(
    arguments: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "serve", "price.yuragi", *arguments).code == 2
