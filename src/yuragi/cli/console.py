"""Where what is printed: results on standard output, all else on standard error; never a control code of the user's data."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console

# what a table holds is not markup: a column may be called "[red]"
results = Console(markup=False, emoji=False, highlight=False)
messages = Console(stderr=True, markup=False, emoji=False, highlight=False)


def say(text: str, *, aside: bool = False) -> None:
    """Print a line to standard output, or to standard error where that holds a table."""
    (messages if aside else results).print(harmless(text), soft_wrap=True)


def note(text: str) -> None:
    """Print a remark on the data to standard error."""
    messages.print(f"note: {harmless(text)}", soft_wrap=True)


def complain(reason: str) -> None:
    """Print why it failed, on one line of standard error."""
    messages.print(f"yuragi: {harmless(reason)}", soft_wrap=True)


def say_json(value: Any) -> None:
    """Print one JSON document to standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n")
    sys.stdout.flush()


def harmless(text: str) -> str:
    """The text with what is not to be printed, as control codes, shown for what it is."""
    return "".join(sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in text)
