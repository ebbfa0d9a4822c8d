"""Warnings that torch gives of itself, and that are no news to whoever calls yuragi."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_script_warnings() -> Iterator[None]:
    """Ignore that torch calls its own `torch.jit.script` deprecated.

    Libraries use it as they are imported, and torch itself does the first time that anything is differentiated forwards.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        yield
