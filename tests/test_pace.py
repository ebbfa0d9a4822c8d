"""Parts of a job: their shares of its time, and what its progress is."""

from __future__ import annotations

import time

import pytest

from yuragi.pace import Job, Part


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the module sees, in a list of one number that a test may change."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def why(part: Part) -> str | None:
    return part.stopped


def test_without_a_budget_only_steps_count(clock: list[float]) -> None:
    part = Part()
    clock[0] += 1e6
    part.after(1, 4)
    assert (part.done, part.stopped) == (0.25, None)


def test_time_and_steps_whichever_is_more(clock: list[float]) -> None:
    part = Part(Job(time_budget=10.0))
    part.after(0, 100)
    clock[0] += 4
    part.after(10, 100)
    assert part.done == pytest.approx(0.4)
    part.after(70, 100)
    assert (part.done, part.stopped) == (0.7, None)
    clock[0] += 6
    assert why(part) == "time"
    part.after(71, 100)
    assert part.done == 1


def test_parts_get_their_shares_of_the_time_that_is_left(clock: list[float]) -> None:
    first, second, third = Part(Job(time_budget=8.0)).split([1, 1, 2])
    assert [(part.begin, part.end) for part in (first, second, third)] == [(0, 0.25), (0.25, 0.5), (0.5, 1)]
    first.after(0, 10)
    clock[0] += 1.5  # of two seconds
    assert why(first) is None
    first.after(10, 10)
    second.after(0, 10)
    clock[0] += 2.1  # of a third of 6.5
    assert why(second) is None
    clock[0] += 0.1
    assert why(second) == "time"
    third.after(0, 10)
    clock[0] += 4.2  # of 4.3: all that is left
    assert why(third) is None
    clock[0] += 0.2
    assert why(third) == "time"


def test_the_last_of_many_parts_has_what_is_left(clock: list[float]) -> None:
    *others, last = Part(Job(time_budget=1.0)).split([0.1] * 7)
    for part in others:
        part.after(0, 1)
    clock[0] += 0.9
    last.after(0, 1)
    assert why(last) is None
    clock[0] += 0.11
    assert why(last) == "time"


def test_what_is_left_of_a_part_is_split(clock: list[float]) -> None:
    part = Part(Job(), 0.2, 0.6)
    part.after(5, 10)
    one, other = part.split([3, 1])
    assert (one.begin, one.end, other.begin, other.end) == pytest.approx((0.4, 0.55, 0.55, 0.6))


def test_progress_is_of_the_whole_job_and_not_told_too_often(clock: list[float]) -> None:
    told: list[float] = []
    job = Job(progress=told.append)
    first, second = Part(job).split([1, 3])
    for step in range(100):
        first.after(step, 100)
        clock[0] += 0.025
    first.after(100, 100)
    assert told[0] == 0
    assert told[-1] == 0.25
    assert len(told) == 26  # each fourth step, and the end
    second.after(50, 100)
    clock[0] += 1
    second.after(60, 100)
    assert told[-1] == pytest.approx(0.25 + 0.6 * 0.75)


def test_turns_last_as_long_as_the_time(clock: list[float]) -> None:
    told: list[float] = []
    first, second = Part(Job(time_budget=10.0, progress=told.append)).split([1, 1])
    taken = []
    for turn in first.turns(100):
        taken.append(turn)
        clock[0] += 2
    assert taken == [0, 1, 2]
    assert (first.done, told[-1]) == (1, 0.5)
    clock[0] += 10
    assert list(second.turns(100, least=4)) == [0, 1, 2, 3]
    assert list(Part().turns(2, least=4)) == [0, 1]


def test_who_watches_may_stop_it(clock: list[float]) -> None:
    job = Job(progress=lambda done: done >= 0.5)
    first, second = Part(job).split([1, 1])
    first.after(0, 2)
    assert why(first) is None
    first.after(2, 2)
    assert [why(first), why(second), job.stopped] == ["progress"] * 3


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_is_a_positive_number(budget: float) -> None:
    with pytest.raises(ValueError, match="positive number of seconds"):
        Job(time_budget=budget)


def test_a_part_goes_on_in_another_process_with_the_time_that_it_had_used(clock: list[float]) -> None:
    first = Part(Job(time_budget=10.0)).split([1, 1])[0]
    first.after(0, 100)
    clock[0] += 2
    noted = first.clock()
    assert noted == {"used": 2.0, "seconds": 5.0, "left": 8.0}
    clock[0] += 1000
    again, later = Part(Job(time_budget=10.0)).split([1, 1])
    again.set_clock(noted)
    assert again.job.left == 10.0 - 2.0
    again.after(1, 100)
    assert again.done == pytest.approx(0.4)
    clock[0] += 3
    assert why(again) == "time"
    assert later.stopped is None
