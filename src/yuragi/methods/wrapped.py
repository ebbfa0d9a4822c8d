"""Other libraries, imported where they are needed: each belongs to an extra of yuragi."""

from __future__ import annotations

import importlib
from typing import Any

from yuragi.torch_warnings import without_script_warnings

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
