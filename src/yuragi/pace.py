"""How far a job has come and when it has to end, from one loop of training to the next."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

Progress = Callable[[float], bool | None]
_BETWEEN_REPORTS = 0.1  # seconds


class Job:
    """What was asked of a job: how long it may take, and whom to tell how far it is.

    Args:
        time_budget: seconds; None: as long as it takes.
        progress: called with the fraction done, ten times a second at most; a true return value stops the job.

    Attributes:
        stopped: "progress" once `progress` has said so; no part does more than one step from then on.

    Raises:
        ValueError: the budget is not positive and finite.
    """

    def __init__(self, time_budget: float | None = None, progress: Progress | None = None) -> None:
        if time_budget is not None and not (math.isfinite(time_budget) and time_budget > 0):
            raise ValueError(f"the time budget must be a positive number of seconds, got {time_budget}")
        self.progress = progress
        self.stopped: str | None = None
        self._ends = math.inf if time_budget is None else time.perf_counter() + time_budget
        self._told = -math.inf

    @property
    def left(self) -> float:
        """Seconds of the budget that are left, infinite without one."""
        return max(0.0, self._ends - time.perf_counter())

    @property
    def limited(self) -> bool:
        """Whether it may end before its last step."""
        return self.progress is not None or math.isfinite(self._ends)

    def set_left(self, seconds: float) -> None:
        """Let so much of the budget be left."""
        self._ends = time.perf_counter() + seconds

    def tell(self, done: float, always: bool = False) -> None:
        """Report the fraction `done`, unless that was just done."""
        now = time.perf_counter()
        if self.progress is not None and (always or now - self._told >= _BETWEEN_REPORTS):
            self._told = now
            if self.progress(done):
                self.stopped = "progress"


class Part:
    """The part of a job between two fractions of it; its share of the time that is left counts from its first step.

    A part that needs less leaves the rest to the later ones.

    Args:
        job: the whole; one without limits by default.
        begin, end: fractions of the job.

    Example:
        >>> part = Part(Job(), 0.0, 0.5)
        >>> part.after(step=30, steps=100)
        >>> part.done, part.stopped
        (0.3, None)
    """

    def __init__(self, job: Job | None = None, begin: float = 0.0, end: float = 1.0) -> None:
        self.job = Job() if job is None else job
        self.begin, self.end = begin, end
        self.done = 0.0
        """Fraction of this part: of its steps or of its time, whichever is more."""
        self._began: float | None = None
        self._seconds = math.inf

    @property
    def limited(self) -> bool:
        """Whether the job has a time budget."""
        return math.isfinite(self.job.left)

    @property
    def stopped(self) -> str | None:
        """Why this part is to end before its last step: "progress", "time", or None."""
        if self.job.stopped is not None:
            return self.job.stopped
        return "time" if self._used() >= 1 else None

    def after(self, step: int, steps: int) -> None:
        """Note that so many of its steps are done, and report it."""
        self.done = min(1.0, max(step / steps, self._used()))
        self.job.tell(self.begin + self.done * (self.end - self.begin), always=step in (0, steps))

    def turns(self, most: int, least: int = 1) -> Iterator[int]:
        """Count the part's steps from 0 on, while it has time: at least `least` and at most `most` of them.

        Example:
            >>> list(Part().turns(3))
            [0, 1, 2]
        """
        for step in range(most):
            self.after(step, most)
            if step >= least and self.stopped is not None:
                break
            yield step
        self.after(1, 1)

    def clock(self) -> dict[str, float]:
        """How much of its time this part and its job have used, for `set_clock` of the same part in another process."""
        used = 0.0 if self._began is None else time.perf_counter() - self._began
        return {"used": used, "seconds": self._seconds, "left": self.job.left}

    def set_clock(self, clock: Mapping[str, float]) -> None:
        """Go on from such a time."""
        now = time.perf_counter()
        self._began, self._seconds = now - clock["used"], clock["seconds"]
        self.job.set_left(clock["left"])

    def split(self, sizes: Sequence[float]) -> list[Part]:
        """What is left of this part as parts of these relative sizes, one after another."""
        at = self.begin + self.done * (self.end - self.begin)
        total, parts = sum(sizes), []
        for size in sizes:
            parts.append(Part(self.job, at, at + size / total * (self.end - self.begin) * (1 - self.done)))
            at = parts[-1].end
        return parts

    def _used(self) -> float:
        # of its time
        now = time.perf_counter()
        if self._began is None:
            self._began = now
            # rounding may let the last part begin at 1
            self._seconds = self.job.left * (self.end - self.begin) / max(1 - self.begin, self.end - self.begin, 1e-9)
        if math.isinf(self._seconds):
            return 0.0
        return 1.0 if self._seconds <= 0 else (now - self._began) / self._seconds
