"""Libraries that belong to an extra: what is said without them, and that nothing asks for them too early."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest

from yuragi.methods.wrapped import LIBRARIES, wrapped
from yuragi.torch_warnings import without_script_warnings


def test_what_is_missing_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIBRARIES, "deep_gp", ("not_there", "gp"))
    with pytest.raises(ModuleNotFoundError, match=r'needs the package not_there: pip install "yuragi\[gp\]"') as raised:
        wrapped("deep_gp")
    assert raised.value.name == "not_there"


def test_what_is_there_is_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIBRARIES, "deep_gp", ("sys", "gp"))
    assert wrapped("deep_gp") is sys


def test_the_methods_can_be_listed_without_any_of_them() -> None:
    code = "import sys, yuragi.methods; assert not {'laplace', 'gpytorch', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_warnings_are_not_hidden() -> None:
    with without_script_warnings():
        warnings.warn("`torch.jit.script` is deprecated. Please switch.", DeprecationWarning)
        with pytest.raises(DeprecationWarning, match="something else"):
            warnings.warn("something else", DeprecationWarning)
