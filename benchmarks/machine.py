"""When, with what and on what a table was made."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

import torch

import yuragi as yu


def made(threads: int, at_once: int = 1) -> str:
    """A line for the end of a table: date, versions and machine.

    Args:
        threads: of each process.
        at_once: processes that ran at the same time.
    """
    date = datetime.datetime.now(tz=datetime.UTC).date()
    versions = f"yuragi {yu.__version__}, torch {torch.__version__}, Python {platform.python_version()}"
    return f"{date}; {versions}; {_processor()}, {os.cpu_count()} cores; {threads} threads each, {at_once} at once"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
