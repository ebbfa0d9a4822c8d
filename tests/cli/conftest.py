"""A folder with tables and models, in which commands run."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.running import fill


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path)
    return tmp_path
