"""Limits: how large a request may be, how long it may take, and how many there may be at once."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field

from starlette.requests import Request

from yuragi.serving.problems import Problem

_THROWN_AWAY = 64 * 2**20  # bytes of a body that is too large


@dataclass(frozen=True)
class Limits:
    """What a request may take, and how many may be under way.

    Args:
        body: bytes of a request.
        rows: of a request.
        seconds: from the head of a request to its answer.
        at_once: requests that are worked on at the same time, each in a thread.
        waiting: further requests that wait for one of these to end; those beyond are turned away.

    Raises:
        ValueError: one of them is below 1, or `waiting` below 0.
    """

    body: int = 8 * 2**20
    rows: int = 10_000
    seconds: float = 30.0
    at_once: int = field(default_factory=lambda: os.cpu_count() or 1)
    waiting: int = 16

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("body", "rows", "at_once"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.seconds > 0:
            raise ValueError(f"seconds must be positive, got {self.seconds}")
        if self.waiting < 0:
            raise ValueError(f"waiting must be at least 0, got {self.waiting}")


class Places:
    """The places for requests under way: each takes one before its body is read, and so bounds the memory of all.

    Args:
        number: how many there are.

    Example:
        >>> places = Places(1)
        >>> places.take()
        >>> try:
        ...     places.take()
        ... except Problem as problem:
        ...     print(problem.status, problem.headers)
        503 {'Retry-After': '1'}
    """

    def __init__(self, number: int) -> None:
        self._free = threading.BoundedSemaphore(number)

    def take(self) -> None:
        """Take a place.

        Raises:
            Problem: none is free (503).
        """
        if not self._free.acquire(blocking=False):
            raise busy("as many requests as this server takes are under way: try again in a moment")

    def give_back(self) -> None:
        """Give a place back; from any thread."""
        self._free.release()


def busy(detail: str) -> Problem:
    """The problem that the server cannot answer now (503)."""
    return Problem(503, detail, headers={"Retry-After": "1"})


def too_slow(seconds: float) -> Problem:
    """The problem that a body did not arrive in time (408)."""
    detail = f"the request did not arrive within {seconds:g} s: send it faster, or fewer rows"
    return Problem(408, detail, headers={"Connection": "close"})


async def read_body(request: Request, most: int) -> bytes:
    """The body of a request; no more than `most` bytes are ever held, whatever its head says.

    A larger one is read to its end and thrown away, unless that is far: who is still sending does not hear an answer.

    Raises:
        Problem: it is larger (413).
    """
    body, size = bytearray(), 0
    head = request.headers.get("content-length", "")
    declared = int(head[:20]) if head.isdecimal() else 0
    hopeless = declared > most and ("expect" in request.headers or declared > most + _THROWN_AWAY)
    if not hopeless:
        async for part in request.stream():
            size += len(part)
            if size <= most:
                body += part
            else:
                body.clear()
                if size > most + _THROWN_AWAY:
                    break
    if hopeless or size > most:
        detail = f"the request is larger than {most:,} bytes: send fewer rows at once"
        raise Problem(413, detail, headers={"Connection": "close"})
    return bytes(body)
