"""What a fit costs: seconds, and the memory that it needs at its peak."""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

_EVERY = 0.005  # seconds between two looks at the memory
_MIB = 2**20
Returned = TypeVar("Returned")


def warm_up() -> None:
    """One step of an optimiser: at its first torch imports much, for which no method is to pay."""
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([weight])
    weight.sum().backward()
    optimizer.step()


def timed(work: Callable[[], Returned], device: torch.device) -> tuple[Returned, float]:
    """What `work` returns, and the seconds until it has, those of an accelerator included."""
    _wait(device)
    start = time.perf_counter()
    returned = work()
    _wait(device)
    return returned, time.perf_counter() - start


class PeakMemory:
    """A block, and the most memory that it held above what was held before it, in MiB.

    On a CUDA device it is that of its tensors. Elsewhere it is the process's resident memory, looked at every five
    milliseconds: what is freed sooner is missed, and all that the process does meanwhile is counted. Only Linux tells; on
    other systems `mib` is NaN.

    Args:
        device: where the work is done.

    Example:
        >>> with PeakMemory(torch.device("cpu")) as memory:
        ...     _ = torch.ones(2**22)
        >>> memory.mib >= 0 or not _STATM.exists()
        True
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.mib = float("nan")

    def __enter__(self) -> PeakMemory:
        """Give back what earlier work has freed, and begin to look."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
            return self
        _trim()
        self._before = self._peak = _resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Say how much it was."""
        if self.device.type == "cuda":
            self.mib = (torch.cuda.max_memory_allocated(self.device) - self._before) / _MIB
            return
        self._done.set()
        self._thread.join()
        self._peak = max(self._peak, _resident())
        if _STATM.exists():
            self.mib = (self._peak - self._before) / _MIB

    def _look(self) -> None:
        while not self._done.wait(_EVERY):
            self._peak = max(self._peak, _resident())


_STATM = Path("/proc/self/statm")


def _resident() -> int:
    # bytes; 0 where the system does not tell
    if not _STATM.exists():
        return 0
    import resource

    return int(_STATM.read_text().split()[1]) * resource.getpagesize()


def _trim() -> None:
    # the C library keeps what was freed, and the next fit would seem to need nothing
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
