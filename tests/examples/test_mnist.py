"""The MNIST examples: their helpers against mathematics, and each script whole on made-up digits."""

from __future__ import annotations

import gzip
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.made_up_digits import write_idx, write_made_up_digits

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def load_example(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if name.startswith("mnist"):
            del sys.modules[name]


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    write_made_up_digits(tmp_path)
    return tmp_path


def test_idx_files_are_read_as_written(load_example: Any, tmp_path: Path) -> None:
    mnist = load_example("mnist")
    for values in (torch.arange(7), torch.arange(2 * 3 * 5).reshape(2, 3, 5) + 200):
        write_idx(tmp_path / "a.gz", values)
        assert torch.equal(mnist.read_idx(tmp_path / "a.gz").long(), values)
    whole = gzip.decompress((tmp_path / "a.gz").read_bytes())
    for damaged, message in ((whole[:-1], "should hold"), (b"\0\0\x0d" + whole[3:], "not an idx file of unsigned")):
        (tmp_path / "b.gz").write_bytes(gzip.compress(damaged))
        with pytest.raises(ValueError, match=message):
            mnist.read_idx(tmp_path / "b.gz")


def test_load(load_example: Any, made_up: Path) -> None:
    x, y = load_example("mnist").load(made_up, "train", 30)
    assert x.shape == (30, 1, 28, 28)
    assert x.dtype == torch.float32
    assert (float(x.min()), float(x.max())) == (0.0, 1.0)
    assert y.dtype == torch.int64


def test_quarter_turns_are_exact(load_example: Any) -> None:
    rotate = load_example("mnist").rotate
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for quarters in range(4):
        torch.testing.assert_close(
            rotate(images, 90 * quarters), images.rot90(quarters, (2, 3)), atol=1e-4, rtol=0, msg=f"{quarters}"
        )


def test_auroc_by_counting_pairs(load_example: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    low, high = torch.randint(6, (40,), generator=generator), torch.randint(2, 9, (30,), generator=generator)
    pairs = [(a < b) + 0.5 * (a == b) for a in low.tolist() for b in high.tolist()]
    assert load_example("mnist").auroc(low, high) == pytest.approx(sum(pairs) / len(pairs))


def test_calibration_training_runs(
    load_example: Any, made_up: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = load_example("mnist_avuc").main(["--data", str(made_up), "--out", str(tmp_path / "a.png"), "--quick"])
    for scores in results.values():
        assert scores.shape == (7, 3)
        assert bool(scores.isfinite().all())
    assert not torch.equal(results["with"], results["without"])
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("°")[0].strip() for line in lines[-7:]] == ["0", "15", "30", "45", "60", "75", "90"]


def test_rotated_digits_run(load_example: Any, made_up: Path, tmp_path: Path) -> None:
    result = load_example("mnist_lenet").main(["--data", str(made_up), "--out", str(tmp_path / "b.png"), "--quick"])
    assert set(result) == {"accuracy", "entropy", "mutual_information"}
    assert all(0 <= value <= 1 for value in result.values())
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
