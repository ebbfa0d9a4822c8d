"""The checkpoints of a fit: written whole or not at all, the last two kept, and a damaged one passed over.

A fit is one training after another: of candidates, where something was left open, and then of the network itself. A
checkpoint holds how the fit began, what came of the trainings that are complete, and the state of the one under way. A fit
that is resumed does again what takes no time, takes what came of complete trainings from the checkpoint, and goes on with
the one that was under way.
"""

from __future__ import annotations

import math
import os
import re
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from yuragi.bayesian import Bayesian
from yuragi.container import check_writable, packed, read, write_atomically
from yuragi.described import FileError
from yuragi.encoding import decoded, encoded
from yuragi.fingerprint import differences
from yuragi.network_state import copied_state, load_network_state, network_state
from yuragi.random_state import foreign_state, random_state, set_foreign_state, set_random_state

KEPT = 2
"""How many checkpoints are kept."""
_NAME = re.compile(r"checkpoint-([0-9]{8,})[.]yuragi")
_LEFT_BEHIND = ".yuragi-*.tmp"  # by a process that was killed while it wrote


class CheckpointError(ValueError):
    """A fit that is to be continued is not the one that the checkpoints are of, or is not to be continued."""


class CheckpointWarning(UserWarning):
    """A checkpoint is damaged, and an earlier one is used."""


class Checkpoints:
    """The checkpoints of one fit, in a folder of their own.

    Args:
        folder: made where there is none.
        fingerprint: of the fit, as `yuragi.fingerprint.of_fit` says it.
        every: seconds between two.
        foreign: whether the data may be drawn from NumPy's and Python's own random numbers.
        resume: go on from the newest that can be read, if there is one.

    Attributes:
        choosing: whether what is under way is the training of candidates.
        foreign: as given.

    Raises:
        CheckpointError: the checkpoints there are of another fit, or not to be resumed.
        ValueError: `every` is out of range.
        FileError: there are some, and none can be read.
        OSError: the folder cannot be written to.

    Warns:
        CheckpointWarning: the newest one cannot be read, and the one before is used.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        fingerprint: Mapping[str, Any],
        *,
        every: float,
        foreign: bool,
        resume: bool,
    ) -> None:
        if not every >= 0 or math.isinf(every):
            raise ValueError(f"every must be a number of seconds, 0 or more, got {every}")
        self._folder, self._fingerprint, self._every = Path(folder), dict(fingerprint), every
        self._folder.mkdir(parents=True, exist_ok=True)
        check_writable(self._folder / "checkpoint")
        self.choosing, self.foreign = False, foreign
        self._start: dict[str, Any] | None = None
        self._complete: list[dict[str, Any]] = []  # what came of each training, and the random state after it
        self._best: dict[str, Any] | None = None
        self._to_replay = 0  # how many of the complete trainings are still ahead
        self._under_way: dict[str, Any] | None = None
        found = self._files()
        self._number = max(found, default=0)
        if found and not resume:
            raise CheckpointError(
                f"{folder} has checkpoints of a fit already: continue it with resume=True, or give another folder"
            )
        if found:
            self._load(found)
        for left_behind in self._folder.glob(_LEFT_BEHIND):
            left_behind.unlink(missing_ok=True)
        self._written = time.monotonic()

    def begin(self, bnn: Bayesian, seeded: bool) -> None:
        """Let a fit that is to choose begin as it did at first: with these weights, and where it has no seed these draws."""
        device = bnn.reference_tensor.device
        if self._start is None:
            self._start = {
                "network": copied_state(network_state(bnn)),  # it is about to change
                "random": None if seeded else random_state([], device, self.foreign),
                "foreign": foreign_state() if self.foreign else None,
            }
            return
        load_network_state(bnn, self._start["network"])
        if self._start["random"] is not None:
            set_random_state(self._start["random"], [], device)
        if self._start["foreign"] is not None:
            set_foreign_state(self._start["foreign"])

    def once(self, train: Callable[[], Any], network: Bayesian) -> Any:
        """What comes of a training of candidates: done now, or what came of it before.

        Args:
            train: trains `network`, and returns JSON.
            network: of the candidates. Where the training is not done again, it is left untrained unless it was `best`.
        """
        device = network.reference_tensor.device
        if self._to_replay:
            complete = self._complete[-self._to_replay]
            self._to_replay -= 1
            set_random_state(complete["random"], [], device)
            if self._best is not None and self._best["of"] == len(self._complete) - self._to_replay:
                load_network_state(network, self._best["network"])
            return complete["result"]
        self.choosing = True
        result = train()
        self.choosing = False
        self._complete.append({"result": result, "random": random_state([], device, self.foreign)})
        return result

    def best(self, network: Bayesian) -> None:
        """Keep the candidates trained last: the fit may be stopped, and end with them."""
        if not self._to_replay:
            self._best = {"of": len(self._complete), "network": network_state(network)}

    def take(self) -> dict[str, Any] | None:
        """The state of the training that now begins, where it was under way before."""
        assert not self._to_replay  # the fingerprint says that the fit has as many trainings as it had
        taken, self._under_way = self._under_way, None
        return taken

    @property
    def due(self) -> bool:
        """Whether it is time for another."""
        return time.monotonic() - self._written >= self._every

    def write(self, state: Mapping[str, Any]) -> None:
        """Write a checkpoint: the state of the training under way.

        Raises:
            OSError: it cannot be written; the earlier ones are as they were.
            TypeError: the state holds what no file can, such as an optimiser of one's own may have.
        """
        whole = {
            "fingerprint": self._fingerprint,
            "start": self._start,
            "complete": self._complete,
            "best": self._best,
            "under way": dict(state),
        }
        try:
            contents, tensors = encoded(whole)
        except TypeError as error:
            raise TypeError(f"the fit has a state that no checkpoint can hold: {error}") from error
        # copies: safetensors refuses tensors that share memory, as tied weights do
        copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        path = self._folder / f"checkpoint-{self._number + 1:08d}.yuragi"
        try:
            write_atomically(path, packed({"checkpoint": contents}, copies, {}))
        except OSError as error:
            raise OSError(
                error.errno,
                f"no checkpoint could be written ({error.strerror or error}), and the fit has ended; what was written "
                "before is as it was, and resume=True continues from it",
                str(path),
            ) from error
        self._number += 1
        for number, file in self._files().items():
            if number <= self._number - KEPT:
                file.unlink(missing_ok=True)
        self._written = time.monotonic()

    def _files(self) -> dict[int, Path]:
        found = ((_NAME.fullmatch(path.name), path) for path in self._folder.iterdir())
        return {int(match[1]): path for match, path in found if match is not None}

    def _load(self, files: dict[int, Path]) -> None:
        passed_over: list[str] = []
        for number in sorted(files, reverse=True):
            try:
                whole = _read(files[number])
            except FileError as error:
                passed_over.append(str(error))
                continue
            if passed_over:
                warnings.warn(
                    f"{'; '.join(passed_over)}. The fit continues from {files[number]}",
                    CheckpointWarning,
                    stacklevel=6,
                )
            break
        else:
            raise FileError(f"none of the checkpoints can be read: {'; '.join(passed_over)}")
        other = differences(whole["fingerprint"], self._fingerprint)
        if other:
            raise CheckpointError(
                f"{files[number]} is of another fit: {'; '.join(other[:3])}. Repeat what that fit was given, or begin a "
                "new one in another folder"
            )
        self._start, self._complete, self._best = whole["start"], whole["complete"], whole["best"]
        self._to_replay, self._under_way = len(self._complete), whole["under way"]


def _read(path: Path) -> dict[str, Any]:
    contents = read(path)
    try:
        # copies: what safetensors reads lies where vectorised kernels may go another way
        tensors = {name: tensor.clone() for name, tensor in contents.state.items()}
        whole: dict[str, Any] = decoded(contents.settings["checkpoint"], tensors)
        whole["fingerprint"], whole["under way"], whole["start"], whole["complete"], whole["best"]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise FileError(f"{path} is no checkpoint that this yuragi can use: {error!r}") from error
    return whole
