"""Other libraries, imported where they are needed: each belongs to an extra of yuragi."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LIBRARIES = {"deep_gp": ("gpytorch", "gp"), "laplace": ("laplace", "laplace")}
"""By method, the library that it wraps, and the extra of yuragi that brings it."""


def wrapped(method: str) -> Any:
    """The library that a method wraps, as a module.

    Raises:
        ModuleNotFoundError: it is not installed, or something that it needs is not; the message says how to install it.
    """
    library, extra = LIBRARIES[method]
    try:
        with without_script_warnings():
            return importlib.import_module(library)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'this method needs the package {error.name}: pip install "yuragi[{extra}]"', name=error.name
        ) from error


@contextmanager
def without_script_warnings() -> Iterator[None]:
    """Ignore that torch calls its own `torch.jit.script` deprecated.

    Libraries use it as they are imported, and torch itself does the first time that anything is differentiated forwards.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        yield
