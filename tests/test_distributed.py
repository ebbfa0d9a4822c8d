"""The loss through `DistributedDataParallel`: gradients averaged over processes are those of the whole batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import yuragi as yu

PROCESSES = 2
WORKER = """
import sys
import torch
import yuragi as yu
from tests.test_distributed import data, network, one_generator

rank, processes, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=processes)
x, y = data()
for members in (1, 2):
    bnn = network(members)
    objective = torch.nn.parallel.DistributedDataParallel(yu.NegativeELBO(bnn, num_data=len(x)))
    objective(x[rank::processes], y[rank::processes], generator=one_generator()).backward()
    torch.save([p.grad for p in bnn.parameters() if p.grad is not None], f"{folder}/{members}-{rank}.pt")
torch.distributed.destroy_process_group()
"""


def network(members: int) -> yu.Bayesian:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    return yu.bayesianize(net, likelihood=yu.Gaussian("learned"), estimator="shared", members=members, seed=0)


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(12, 3, generator=generator), torch.randn(12, 1, generator=generator)


def one_generator() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def test_gradients_of_all_processes_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), str(PROCESSES), str(tmp_path)],
            cwd=Path(__file__).parent.parent,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(PROCESSES)
    ]
    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        assert worker.returncode == 0, errors
    for members in (1, 2):
        bnn = network(members)
        bnn.loss(*data(), num_data=12, generator=one_generator()).backward()
        expected = [p.grad for p in bnn.parameters() if p.grad is not None]
        for rank in range(PROCESSES):
            got = torch.load(tmp_path / f"{members}-{rank}.pt", weights_only=True)
            assert len(got) == len(expected)
            for one, other in zip(got, expected, strict=True):
                torch.testing.assert_close(one, other)
