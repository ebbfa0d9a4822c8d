"""`yuragi fit --devices`: a command of several processes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.cli.running import run, started
from tests.cli.test_fit import FIT


def test_what_several_processes_cannot_do_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "fit", "-", "--target", "price", "-o", "m.yuragi", "--devices", "2")
    assert ended.code == 2
    assert "several processes cannot all read standard input" in ended.err
    ended = run(capsys, *FIT, "--devices", "2", "--stream")
    assert ended.code == 2
    assert "the table is read in blocks" in ended.err
    ended = run(capsys, *FIT, "--device", "cpu:0", "--nodes", "2")
    assert ended.code == 2
    assert "--device cpu:0 is one" in ended.err


def test_without_fabric_it_says_what_to_install(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    ended = run(capsys, *FIT, "--devices", "2")
    assert ended.code == 1
    assert 'pip install "yuragi[fabric]"' in ended.err
    assert not Path("m.yuragi").exists()


@pytest.mark.slow
def test_two_processes_write_one_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lightning_fabric")
    together = started(folder, *FIT, "--devices", "2", "--json")
    out, errors = together.communicate(timeout=300)
    assert together.returncode == 0, errors
    said = json.loads(out)
    assert (folder / said["output"]).exists()
    alone = json.loads(run(capsys, *FIT, "--json").out)
    assert said["settings"] == alone["settings"]
    for name, score in alone["scores"]["model"].items():  # anchored members have no noise to differ in
        assert said["scores"]["model"][name] == pytest.approx(score, rel=1e-3), name
