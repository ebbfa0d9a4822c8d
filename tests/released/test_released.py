"""Files of every version of the format are read, and predict what they did when they were written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.released.make import HERE, X, network, said, table

import yuragi as yu
from yuragi.container import VERSION
from yuragi.tables import load_table_model

VERSIONS = [HERE / f"version_{number}" for number in range(1, VERSION + 1)]
# a last bit may differ between machines, and the library's draws may not
CLOSE = 1e-4


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("name", ["network", "int8"])
def test_networks(folder: Path, name: str) -> None:
    bnn = yu.load(folder / f"{name}.yuragi", network())
    expected = torch.tensor(json.loads((folder / "expected.json").read_text(encoding="utf-8"))[name])
    torch.testing.assert_close(torch.tensor(said(yu.predict(bnn, X, samples=4))), expected, rtol=CLOSE, atol=CLOSE)
    assert yu.files.read(folder / f"{name}.yuragi").extra == {"note": "揺らぎ"}


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("name", ["price", "kind"])
def test_models_of_tables(folder: Path, name: str) -> None:
    model = load_table_model(folder / f"{name}.yuragi")
    expected = torch.tensor(json.loads((folder / "expected.json").read_text(encoding="utf-8"))[name])
    torch.testing.assert_close(torch.tensor(said(model.predict(table()))), expected, rtol=CLOSE, atol=CLOSE)
    assert model.schema.target.name == name
