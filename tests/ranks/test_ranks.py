"""A process alone, and what is no fabric; what several say to each other is in `test_training`."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from yuragi.ranks import Ranks, derived_seed


@dataclass
class Described:
    """What a fabric says of itself."""

    global_rank: int
    world_size: int
    device: torch.device


def test_a_process_alone_says_everything_to_itself() -> None:
    ranks = Ranks.of(Described(0, 1, torch.device("cpu")))
    tensor = torch.ones(3)
    ranks.add_up([tensor])
    assert torch.equal(tensor, torch.ones(3))
    assert (ranks.first, ranks.alone, ranks.from_first(5), ranks.of_all(5)) == (True, True, 5, [5])
    assert ranks.by_first(lambda: 5) == 5
    assert ranks.seeds(7) == [7]
    assert ranks.seeds(None) == [None]


def test_seeds_follow_from_one_and_differ() -> None:
    seeds = Ranks(2, 100).seeds(7)
    assert seeds == Ranks(0, 100).seeds(7)
    assert seeds[:50] == Ranks(0, 50).seeds(7)  # whatever the number of processes
    assert len({*seeds, *Ranks(0, 100).seeds(8)}) == 200
    assert all(seed is not None and 0 <= seed < 2**62 for seed in seeds)
    assert derived_seed(-1, 0) == derived_seed(2**64 - 1, 0)  # as torch takes them


def test_what_is_no_launched_fabric_is_refused() -> None:
    with pytest.raises(TypeError, match=r"fabric must be a lightning Fabric \(pip install .*\), got str"):
        Ranks.of("cpu")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=r"3 processes do not run yet: call fabric.launch\(\) before fit"):
        Ranks.of(Described(0, 3, torch.device("cpu")))
