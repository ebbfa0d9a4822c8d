"""Untrained networks of timm."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import pytest
import torch
from tests.libraries.whole import ROWS, check_whole
from torch import nn

import yuragi as yu
from yuragi.estimators import Estimator

pytestmark = pytest.mark.libraries


class _Named(type):
    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{cls.__name__}.{name}"


class _StandIn(ModuleType):
    """A module in which every name is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = _Named(name, (), {"__module__": self.__name__})
        setattr(self, name, made)
        return made


class _Torchvision(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for torchvision, of which timm imports image transforms, data sets and one layer, and its models none."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] != "torchvision":
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


@pytest.fixture(scope="module")
def timm() -> Iterator[Any]:
    """The library, which does without torchvision where there is none: it has few CPU builds for a given torch."""
    finder = None if importlib.util.find_spec("torchvision") else _Torchvision()
    if finder:
        sys.meta_path.append(finder)
    try:
        yield pytest.importorskip("timm")
    finally:
        if finder:
            sys.meta_path.remove(finder)
            for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
                del sys.modules[name]


@pytest.mark.parametrize("estimator", ["shared", "flipout"])
@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("resnet18", 32, {}),
        ("vit_tiny_patch16_224", 32, {"img_size": 32}),
        ("convnext_atto", 32, {}),
        ("convnextv2_atto", 32, {}),
        ("mixer_s32_224", 64, {"img_size": 64}),
    ],
)
def test_the_whole_network(timm: Any, name: str, size: int, options: dict[str, Any], estimator: Estimator) -> None:
    torch.manual_seed(0)
    net = timm.create_model(name, pretrained=False, num_classes=5, **options)
    x, y = torch.randn(ROWS, 3, size, size), torch.tensor([0, 4, 2, 1])
    check_whole(net, x, y, estimator, likelihood=yu.Categorical(), per_example=[nn.Conv2d, nn.Linear])
