"""The progress bar, with the time that is left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from yuragi.cli.console import messages


class Report(Protocol):
    """What tells the bar how far it has come."""

    def __call__(self, done: float, doing: str = "") -> None:
        """Show the share that is done, and what is being done where it is not what the bar was made for."""


@contextmanager
def bar(title: str, quiet: bool = False) -> Iterator[Report]:
    """A bar on standard error where that is a terminal: call it with the share that is done, and what is being done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("after"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=messages, disable=quiet or not messages.is_terminal, transient=True) as progress:
        task = progress.add_task(title, total=1.0)

        def report(done: float, doing: str = "") -> None:
            progress.update(task, completed=done, description=doing or title)

        yield report
