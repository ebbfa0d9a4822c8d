"""A fit of several processes on the rows of each batch: what one process finds, and the same in all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.ranks.launched import found, launch
from tests.ranks.scenarios import Scenario, data, mixtures, result, scenarios

import yuragi as yu
from yuragi.member_fits import fit_members

pytest.importorskip("lightning_fabric")
pytestmark = pytest.mark.filterwarnings("ignore:the fit stopped after")

COUNTS = [2, 3]
EXACT = ["uneven", "single row", "whole", "loader", "dataset", "validated", "left out"]
Ranks = dict[int, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    launch("scenarios", COUNTS, folder)
    return folder


@pytest.fixture(scope="module")
def together(folder: Path) -> Ranks:
    """What each process of each number of them found."""
    return {count: found(folder, count) for count in COUNTS}


@pytest.fixture(scope="module")
def alone() -> dict[str, Scenario]:
    return {
        name: result(bnn, yu.fit(bnn, rows, seed=3, **arguments))
        for name, (bnn, rows, arguments) in scenarios().items()
    }


def close(one: Scenario, other: Scenario, rtol: float = 1e-5) -> None:
    for name, value in other["state"].items():
        torch.testing.assert_close(one["state"][name], value, rtol=rtol, atol=rtol)
    for name in ("loss", "log_likelihood", "kl", "validation"):
        torch.testing.assert_close(torch.tensor(one[name]), torch.tensor(other[name]), rtol=rtol, atol=rtol)
    assert (one["steps"], one["skipped"], one["stopped"]) == (other["steps"], other["skipped"], other["stopped"])


def equal(one: Scenario, other: Scenario) -> bool:
    states = one["state"], other["state"]
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][name], states[1][name]) for name in states[0]
    )


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", EXACT)
def test_members_without_noise_are_those_of_one_process(
    together: Ranks, alone: dict[str, Scenario], name: str, count: int
) -> None:
    close(together[count][0][name], alone[name])


@pytest.mark.parametrize("count", COUNTS)
def test_the_gradient_is_that_of_the_whole_batch_with_the_kl_counted_once(
    together: Ranks, alone: dict[str, Scenario], count: int
) -> None:
    close(together[count][0]["gradient"], alone["gradient"], 1e-4)  # the noise is 1e-6


@pytest.mark.parametrize("count", COUNTS)
def test_replicas_are_the_same_to_the_last_bit(together: Ranks, count: int) -> None:
    first, *others = together[count]
    for other in others:
        for name in first.keys() - {"refused"}:
            assert equal(first[name], other[name]), name
            rest = [{key: value for key, value in one[name].items() if key != "state"} for one in (first, other)]
            assert repr(rest[0]) == repr(rest[1]), name


@pytest.mark.parametrize("count", COUNTS)
def test_each_process_has_noise_of_its_own_and_its_seed_is_recorded(
    together: Ranks, alone: dict[str, Scenario], count: int
) -> None:
    noisy = together[count][0]["mean field"]
    assert len(set(noisy["seeds"])) == count
    assert alone["mean field"]["seeds"] is None
    assert not torch.equal(noisy["state"]["posterior.rho"], alone["mean field"]["state"]["posterior.rho"])
    torch.testing.assert_close(torch.tensor(noisy["kl"]), torch.tensor(alone["mean field"]["kl"]), rtol=0.05, atol=0)


@pytest.mark.parametrize("count", COUNTS)
def test_running_means_are_those_of_the_whole_batch(together: Ranks, alone: dict[str, Scenario], count: int) -> None:
    one, other = together[count][0]["normalised"]["state"], alone["normalised"]["state"]
    torch.testing.assert_close(one["module.0.running_mean"], other["module.0.running_mean"])
    assert torch.equal(one["module.1.mask"], other["module.1.mask"])
    assert one["module.0.num_batches_tracked"] == other["module.0.num_batches_tracked"]


@pytest.mark.parametrize("count", COUNTS)
def test_a_step_that_fails_in_one_process_is_left_out_in_all(together: Ranks, count: int) -> None:
    assert [one["left out"]["skipped"] for one in together[count]] == [4] * count  # once an epoch


@pytest.mark.parametrize("count", COUNTS)
def test_all_stop_when_the_first_one_does(together: Ranks, count: int) -> None:
    assert {(one["callback"]["stopped"], one["callback"]["steps"]) for one in together[count]} == {("callback", 6)}
    assert {one["progress"]["stopped"] for one in together[count]} == {"progress"}
    assert len({one["progress"]["steps"] for one in together[count]}) == 1
    assert {one["time"]["stopped"] for one in together[count]} == {"time"}
    assert len({one["time"]["steps"] for one in together[count]}) == 1


@pytest.mark.parametrize("count", COUNTS)
def test_a_fit_that_was_cut_off_goes_on_to_the_last_bit(together: Ranks, folder: Path, count: int) -> None:
    for one in together[count]:
        assert equal(one["resumed"], one["at once"])
    written = [folder / f"checkpoints-{count}-{rank}" for rank in range(count)]
    assert [path.exists() for path in written] == [True] + [False] * (count - 1)


@pytest.mark.parametrize("count", COUNTS)
def test_what_one_process_refuses_all_refuse(together: Ranks, count: int) -> None:
    for one in together[count]:
        assert "has checkpoints of a fit already" in one["refused"]["checkpoints"]
        assert "several processes need the seed" in one["refused"]["no seed"]
        assert "mat1 and mat2" in one["refused"]["member"]
        assert "were given different data" in one["refused"]["rows"]


@pytest.mark.parametrize("count", COUNTS)
def test_tensors_of_every_kind_are_added_up(together: Ranks, count: int) -> None:
    large, turned, whole = together[count][0]["sums"]["state"].values()
    total = sum(range(1, count + 1))
    assert torch.equal(large, torch.full((2**20,), float(total)))
    assert torch.equal(turned, torch.full((3, 2), float(total)))
    assert whole.tolist() == [total - count, count]


@pytest.mark.parametrize("count", COUNTS)
def test_members_do_not_depend_on_the_processes_that_train_them(together: Ranks, count: int) -> None:
    x, y = data()
    for name, bnn in mixtures().items():
        histories = fit_members(bnn, (x, y), seed=3, epochs=6, batch_size=12)
        close(together[count][0][name], result(bnn, histories[-1]), 1e-6)
