"""Checkpoints: an interrupted fit ends where the uninterrupted one does, to the last bit, and no failure loses a run."""

from __future__ import annotations

import copy
import errno
import itertools
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, TensorDataset, WeightedRandomSampler

import yuragi as yu
from yuragi.checkpoints import KEPT, CheckpointError, CheckpointWarning
from yuragi.history import History

pytestmark = pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")  # the fits are short

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(50, 2, generator=GENERATOR)
Y = X.sum(1, keepdim=True).sin()


class Killed(Exception):
    pass


class Killing:
    """A penalty of zero that ends the process, so to say, before the step of this number."""

    def __init__(self, step: float = math.inf) -> None:
        self.left = step

    def __call__(self, output: Tensor, y: Tensor) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise Killed
        return output.new_zeros(())


class Augmented(Dataset[tuple[Tensor, Tensor]]):
    """Rows with noise from each of the global random states."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        noise = torch.rand(2) + np.random.rand() + random.random()  # noqa: NPY002
        return X[index] + 0.1 * noise, Y[index]


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.1), nn.Linear(6, 1))


def shuffled() -> DataLoader[Any]:
    return DataLoader(TensorDataset(X, Y), batch_size=2, shuffle=True, generator=torch.Generator().manual_seed(3))


def weighted() -> DataLoader[Any]:
    sampler = WeightedRandomSampler(torch.arange(1, 51).tolist(), 50)
    return DataLoader(Augmented(), batch_size=2, sampler=sampler)


ANCHORED: dict[str, Any] = {"posterior": yu.posteriors.Anchored(), "members": 2}
# what bayesianize is given, the data, what fit is given
FITS: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    "mean field": ({}, (X, Y), {}),
    "members, validation": ({"members": 2}, (X, Y), {"validation": (X[:30], Y[:30]), "sample_weight": Y[:, 0].abs()}),
    "anchored, without a seed": (ANCHORED, (X, Y), {"seed": None}),
    "SGD": ({}, (X, Y), {"optimizer": lambda groups: torch.optim.SGD(groups, lr=1e-3, momentum=0.9)}),
    "one step an epoch": ({}, (X, Y), {"batch_size": 50, "epochs": 50}),
    "half precision": ({}, (X, Y), {"precision": "fp16"}),
    "normals from a table": ({"estimator": "local"}, (X, Y), {}),
    "a dataset": ({}, Augmented(), {}),
    "a shuffling loader": (ANCHORED, shuffled, {}),
    "a weighted loader, without a seed": ({}, weighted, {"seed": None}),
    "a choice": (
        {"likelihood": [yu.Gaussian(), yu.likelihoods.StudentT()], "members": 2},
        (X, Y),
        {"kl_weight": [1.0, 0.1]},
    ),
    "a choice without a seed": (ANCHORED, (X, Y), {"kl_weight": [1.0, 0.1], "seed": None}),
    "a choice of which one fails": (
        {"likelihood": [yu.Gaussian(noise) for noise in (0.5, 1e-30)], "members": 1},
        (X, Y),
        {},
    ),
}


def fitted(
    name: str, begin: int, folder: Path | None = None, step: float = math.inf, **more: Any
) -> tuple[yu.Bayesian, History]:
    """As in a process of its own that has the global random states `begin`."""
    made, data, given = FITS[name]
    torch.manual_seed(begin)
    np.random.seed(begin)  # noqa: NPY002
    random.seed(begin)
    options: dict[str, Any] = {"epochs": 2, "batch_size": 2, "seed": 1, "penalty": Killing(step)}
    options |= given | more
    if folder is not None:
        options |= {"checkpoint": folder, "every": 0}
    bnn = yu.bayesianize(network(), **{"likelihood": yu.Gaussian()} | made)
    return bnn, yu.fit(bnn, data() if callable(data) else data, **options)


def check_same(found: tuple[yu.Bayesian, History], expected: tuple[yu.Bayesian, History]) -> None:
    state, other = (bnn.state_dict() for bnn, _ in (found, expected))
    assert state.keys() == other.keys()
    for name, value in state.items():
        assert torch.equal(value, other[name]), name
    for one, two in zip((found[1].loss, found[1].kl), (expected[1].loss, expected[1].kl), strict=True):
        assert one == two
    assert found[1].validation == expected[1].validation
    assert (found[1].steps, found[1].skipped, found[1].best_epoch) == (
        expected[1].steps,
        expected[1].skipped,
        expected[1].best_epoch,
    )
    scores = [
        None if history.selection is None else [one.described() for one in history.selection.candidates]
        for _, history in (found, expected)
    ]
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if "fails" in name else name for name in FITS]
)
def test_an_interrupted_fit_ends_as_the_uninterrupted_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "table" in name:  # which is for larger networks; and drawn anew every few steps
        for number, value in {"_FEW": 1, "_HALF": 2**8, "_WINDOW": 2**7, "_USES": 1, "_PLACES": 7}.items():
            monkeypatch.setattr(f"yuragi.normals.{number}", value)
    expected = fitted(name, 5)
    killed, step = 0, 43 if "fails" in name else 23  # no checkpoint is written in the twenty steps of what fails
    for begin in itertools.count(5):  # the first begins as the uninterrupted one does, the others as they like
        try:
            found = fitted(name, begin, tmp_path, step=step, resume=True)
            break
        except Killed:
            killed += 1
        assert killed < 20
    assert killed >= 2
    check_same(found, expected)
    checkpoints = sorted(path.name for path in tmp_path.iterdir())
    assert len(checkpoints) == KEPT
    check_same(fitted(name, 99, tmp_path, step=0, resume=True), expected)  # it is complete: no step is done again
    assert sorted(path.name for path in tmp_path.iterdir()) == checkpoints


def test_writing_checkpoints_changes_nothing_and_the_global_states_are_left_alone(tmp_path: Path) -> None:
    expected = fitted("mean field", 5)
    state = torch.get_rng_state()
    torch.manual_seed(5)
    bnn = yu.bayesianize(network(), likelihood=yu.Gaussian())
    before = torch.get_rng_state(), random.getstate()
    with pytest.raises(Killed):
        yu.fit(bnn, (X, Y), epochs=2, batch_size=2, seed=1, penalty=Killing(30), checkpoint=tmp_path, every=0)
    history = yu.fit(
        bnn, (X, Y), epochs=2, batch_size=2, seed=1, penalty=Killing(), checkpoint=tmp_path, every=1e6, resume=True
    )
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    check_same((bnn, history), expected)
    torch.set_rng_state(state)


def interrupted(folder: Path, step: int = 40) -> None:
    with pytest.raises(Killed):
        fitted("mean field", 5, folder, step=step)


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    expected = fitted("mean field", 5)
    interrupted(tmp_path)
    before, last = sorted(tmp_path.iterdir())
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    with pytest.warns(CheckpointWarning, match=rf"{last.name} is damaged.*continues from .*{before.name}"):
        check_same(fitted("mean field", 6, tmp_path, resume=True), expected)


def test_where_all_are_damaged_it_says_so(tmp_path: Path) -> None:
    interrupted(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(yu.FileError, match=r"none of the checkpoints can be read: .*damaged.*damaged"):
        fitted("mean field", 6, tmp_path, resume=True)
    for path in tmp_path.iterdir():
        yu.save(yu.bayesianize(nn.Linear(1, 1)), path)
    with pytest.raises(yu.FileError, match="is no checkpoint"):
        fitted("mean field", 6, tmp_path, resume=True)


def test_a_full_disk_is_told_of_and_earlier_checkpoints_are_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fitted("mean field", 5)
    written = []

    def fsync(file: int) -> None:
        written.append(file)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match=r"no checkpoint could be written.*No space left.*resume=True") as raised:
            fitted("mean field", 5, tmp_path)
    assert raised.value.errno == errno.ENOSPC
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "checkpoint-00000001.yuragi",
        "checkpoint-00000002.yuragi",
    ]
    check_same(fitted("mean field", 6, tmp_path, resume=True), expected)


def test_what_a_killed_process_left_behind_is_removed(tmp_path: Path) -> None:
    interrupted(tmp_path)
    (tmp_path / ".yuragi-1-2.tmp").write_bytes(b"half")
    fitted("mean field", 5, tmp_path, resume=True)
    assert not list(tmp_path.glob(".*"))


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "lr": ({"lr": 0.02}, r"of another fit: lr was None and is 0\.02\. Repeat"),
    "seed": ({"seed": 2}, "seed was 1 and is 2"),
    "weight": ({"sample_weight": Y[:, 0].abs()}, "sample_weight was None and is "),
    "schedule": ({"schedule": yu.training.constant}, "schedule was .* and is "),
    "epochs": ({"epochs": 4}, "epochs was 2 and is 4"),
    "penalty": ({"penalty": lambda output, y: output.new_zeros(())}, "penalty was .*Killing"),
    "choice": ({"kl_weight": [1.0]}, r"kl_weight was 1.0 and is \[1.0\]"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_settings_are_refused(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = begun(tmp_path_factory)
    given, message = OTHERS[name]
    with pytest.raises(CheckpointError, match=message):
        fitted("mean field", 5, folder, resume=True, **given)


def begun(factory: pytest.TempPathFactory) -> Path:
    """A fit that was interrupted, the same for all tests that only look at it."""
    folder = factory.getbasetemp() / "begun"
    if not folder.exists():
        interrupted(folder)
    return folder


def test_other_data_networks_and_parts_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = begun(tmp_path_factory)
    options: dict[str, Any] = {"epochs": 2, "batch_size": 2, "seed": 1, "penalty": Killing(), "checkpoint": folder}
    options |= {"resume": True}

    def refused(net: nn.Module, data: Any, message: str, **made: Any) -> None:
        with pytest.raises(CheckpointError, match=message):
            yu.fit(yu.bayesianize(net, **{"likelihood": yu.Gaussian()} | made), data, **options)

    other = Y.clone()
    other[3] += 1e-6
    refused(network(), (X, other), "the data: sha256 was")
    refused(network(), TensorDataset(X, Y), "the data: kind was None and is TensorDataset")
    wide = network()
    wide[0], wide[1], wide[4] = nn.Linear(2, 7), nn.BatchNorm1d(7), nn.Linear(7, 1)  # type: ignore[operator]
    refused(wide, (X, Y), "the network was Sequential")
    refused(network().double(), (X, Y), r"module\.0\.weight was float32 \[6, 2\] and is float64")
    refused(
        network(),
        (X, Y),
        r"likelihood was Gaussian\(noise='learned'\) and is StudentT",
        likelihood=yu.likelihoods.StudentT(),
    )
    refused(network(), (X, Y), "members was 1 and is 2", members=2)
    with pytest.raises(CheckpointError, match="has checkpoints of a fit already: continue it with resume=True"):
        fitted("mean field", 5, folder)


def test_another_optimiser_behind_the_same_name_is_refused(tmp_path: Path) -> None:
    def given(momentum: float, step: float = math.inf) -> dict[str, Any]:
        return {"optimizer": lambda groups: torch.optim.SGD(groups, lr=1e-3, momentum=momentum), "step": step}

    with pytest.raises(Killed):
        fitted("mean field", 5, tmp_path, **given(0.9, 40))
    with pytest.raises(CheckpointError, match=r"state of another optimiser: SGD .*'momentum': 0\.9.* here it is SGD"):
        fitted("mean field", 5, tmp_path, resume=True, **given(0.5))


def test_what_cannot_be_continued_is_refused_at_once(tmp_path: Path) -> None:
    class Backwards(Sampler[int]):
        def __iter__(self) -> Iterator[int]:
            return iter(range(49, -1, -1))

        def __len__(self) -> int:
            return 50

    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            return zip(X, Y, strict=True)

        def __len__(self) -> int:
            return 50

    rows = TensorDataset(X, Y)
    for loader, message in (
        (DataLoader(rows, sampler=Backwards(), batch_size=4), "Backwards is no sampler of torch.utils.data"),
        (DataLoader(Stream(), batch_size=4), "Stream is an IterableDataset"),
        (DataLoader(rows, batch_size=4, num_workers=1, persistent_workers=True), "its workers are persistent"),
    ):
        bnn = yu.bayesianize(network())
        with pytest.raises(ValueError, match=f"cannot be drawn again.*{message}"):
            yu.fit(bnn, loader, epochs=1, checkpoint=tmp_path / "folder")
    with pytest.raises(ValueError, match="resume=True needs checkpoint="):
        yu.fit(yu.bayesianize(network()), (X, Y), resume=True)
    with pytest.raises(ValueError, match="every must be a number of seconds, 0 or more, got -1"):
        yu.fit(yu.bayesianize(network()), (X, Y), checkpoint=tmp_path / "other", every=-1)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        yu.fit(yu.bayesianize(network()), (X, Y), checkpoint=tmp_path / "file")


def test_a_state_that_no_file_can_hold_is_named(tmp_path: Path) -> None:
    class Own(torch.optim.SGD):
        def state_dict(self) -> dict[str, Any]:
            return {**super().state_dict(), "rows": {1, 2}}

    with pytest.raises(TypeError, match="no checkpoint can hold: /under way/optimizer/state/rows is a set"):
        fitted("mean field", 5, tmp_path, optimizer=lambda groups: Own(groups, lr=1e-3))


def test_stopped_by_whoever_watches_it_can_be_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yuragi.pace._BETWEEN_REPORTS", 0.0)
    for name in ("mean field", "a choice"):
        expected, folder = fitted(name, 5), tmp_path / name
        reports = itertools.count()
        _, history = fitted(name, 5, folder, progress=lambda done, reports=reports: next(reports) > 30)
        assert history.stopped == "progress"
        found = fitted(name, 6, folder, resume=True)
        assert found[1].stopped == "epochs"
        check_same(found, expected)


def test_stopped_after_the_best_candidate_of_an_earlier_process_it_ends_with_that(tmp_path: Path) -> None:
    # the Gaussian's network is trained first, and the second cannot win
    made: dict[str, Any] = {"likelihood": [yu.Gaussian(0.3), yu.likelihoods.StudentT(noise=1e4)], "members": 1}

    def fit(step: float, progress: Any) -> tuple[yu.Bayesian, History]:
        torch.manual_seed(5)
        bnn = yu.bayesianize(network(), seed=0, **made)
        options: dict[str, Any] = {"epochs": 3, "batch_size": 4, "seed": 1, "checkpoint": tmp_path, "every": 0}
        return bnn, yu.fit(bnn, (X, Y), penalty=Killing(step), progress=progress, resume=True, **options)

    with pytest.raises(Killed):
        fit(30 + 15, None)  # in the training of the second
    bnn, history = fit(math.inf, lambda done: True)
    assert history.stopped == "progress"
    assert repr(bnn.likelihood) == "Gaussian(noise=0.3)"
    # it has been trained: as good on the rows as the score says, which an untrained network is not
    assert history.selection is not None
    assert history.selection.chosen.log_likelihood > -2
    assert float(yu.predict(bnn, X, seed=0).log_prob(Y).mean()) > history.selection.chosen.log_likelihood - 0.5


def test_in_trouble_the_last_good_state_is_saved_and_tried_on_from(tmp_path: Path) -> None:
    class Spoiling(Killing):
        broken = True

        def __call__(self, output: Tensor, y: Tensor) -> Tensor:
            self.left -= 1
            return output.new_full((), math.nan if self.broken and self.left < 0 else 0.0)

    def fit(step: int) -> tuple[yu.Bayesian, History]:
        torch.manual_seed(5)
        bnn = yu.bayesianize(network(), likelihood=yu.Gaussian())
        options: dict[str, Any] = {"epochs": 10, "batch_size": 4, "seed": 1, "checkpoint": tmp_path, "resume": True}
        made.append(bnn)
        return bnn, yu.fit(bnn, (X, Y), penalty=Spoiling(step), **options)

    made: list[yu.Bayesian] = []
    with pytest.raises(FloatingPointError, match="in a row"):
        fit(60)
    left = copy.deepcopy(made[0].state_dict())
    assert all(bool(value.isfinite().all()) for value in left.values())
    Spoiling.broken = False
    bnn, history = fit(0)
    assert 50 <= history.skipped < 70
    assert history.steps == 130
    assert len(history.loss) == 10
    assert not torch.equal(bnn.state_dict()["posterior.rho"], left["posterior.rho"])


# -- processes that are killed

CHILD = """
import sys
import warnings
from pathlib import Path

import torch

import yuragi as yu
from tests.test_checkpoints import fitted

torch.set_num_threads(1)
warnings.simplefilter("ignore", yu.ConvergenceWarning)
name, folder = sys.argv[1], Path(sys.argv[2])
bnn, history = fitted(name, 5, folder / "checkpoints", resume=True, epochs=int(sys.argv[3]))
yu.save(bnn, folder / "result.yuragi", {"loss": history.loss})
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "epochs", "kills"), [("members, validation", 60, 25), ("a choice", 15, 25)])
def test_killed_at_any_moment_it_ends_to_the_last_bit_as_if_it_had_not_been(
    name: str, epochs: int, kills: int, tmp_path: Path
) -> None:
    def started(folder: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, name, str(folder), str(epochs)],
            cwd=Path(__file__).parent.parent,
            stderr=subprocess.PIPE,
            text=True,
        )

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    child = started(whole)
    _, errors = child.communicate(timeout=600)
    assert child.returncode == 0, errors
    moments = random.Random(0)
    killed = finished = 0
    while killed < kills:
        child = started(broken)
        waited = time.monotonic()
        while child.poll() is None and not (broken / "checkpoints").is_dir() and time.monotonic() - waited < 120:
            time.sleep(0.01)  # it is still importing
        time.sleep(moments.uniform(0.0, 1.5) if killed % 3 else moments.uniform(0.0, 8.0))
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
            killed += 1
        _, errors = child.communicate()
        assert child.returncode in (0, -signal.SIGKILL), errors
        if child.returncode == 0:  # begin anew, until there have been enough kills
            finished += 1
            check_files_agree(broken, whole)
            for path in [*(broken / "checkpoints").iterdir(), broken / "result.yuragi"]:
                path.unlink()
    child = started(broken)
    _, errors = child.communicate(timeout=600)
    assert child.returncode == 0, errors
    check_files_agree(broken, whole)


def check_files_agree(broken: Path, whole: Path) -> None:
    one, other = (yu.files.read(folder / "result.yuragi") for folder in (broken, whole))
    assert one.state.keys() == other.state.keys()
    for name, value in one.state.items():
        assert torch.equal(value, other.state[name]), name
    assert one.extra == other.extra
