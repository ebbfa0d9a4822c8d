"""Ctrl-C: the first asks a fit to stop and keep what it has learnt, the second aborts."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

import typer

from yuragi.cli.console import complain


class Interrupt:
    """A block in which the first Ctrl-C sets `asked`, and the second ends the command with exit code 1.

    Example:
        >>> with Interrupt() as interrupt:
        ...     interrupt.asked
        False
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Self:
        """Take Ctrl-C over, where this is the main thread, which alone has it."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Give Ctrl-C back, and end where it was pressed again."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._before)
        if kind is KeyboardInterrupt:
            complain("aborted, and no model was written")
            raise typer.Exit(1)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
