"""Steps whose loss or gradient is not finite: they do not reach the weights, and too many of them end the fit.

Whether a step is finite is known on the device alone. Asking for it at every step would make an accelerator wait for the
host, so the device notes it, with the parts of the loss, and the host looks at the notes now and then. By itself, the
device leaves a step out: Adam's fused kernels take the note and then change neither weights nor moments.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from yuragi.bayesian import ELBO
from yuragi.flat import of_one_kind
from yuragi.ranks import Ranks
from yuragi.stochastic import StochasticNetwork

LOOK_EVERY = 20
"""Steps between two looks at what the device has noted; the end of an epoch is one, too."""
MOST_IN_A_ROW = 50
"""Steps left out in a row that end a fit; half of all its steps where that is fewer."""
RECOVERY = 1000
"""Good steps in a row after which a learning rate that was halved is doubled again."""
_FIRST_SCALE = 2.0**16  # of a loss in half precision, and how it follows what overflows: as in torch.amp.GradScaler
_GROWTH, _BACKOFF, _GROWTH_EVERY = 2.0, 0.5, 2000


_MEMBERS = "<members>"  # no name of a module


class Noted(NamedTuple):
    """What one step noted: its rows, and the loss and its parts as `ELBO` has them; None where it was left out."""

    rows: int
    parts: tuple[float, float, float] | None


class Guard:
    """Makes the optimiser's steps, and leaves out those whose loss or gradient is not finite.

    After such a step the weights, the optimiser's state and the network's buffers are as before it. The learning rate is
    then halved at the next look, and doubled again, up to what it was, after 1,000 good steps in a row.

    Args:
        network: what is trained; its buffers are put back where a step is left out.
        optimizer: of its parameters. Fused Adam and AdamW leave a step out by themselves; for any other the note is read at
            every step.
        steps: of the whole fit.
        ranks: the processes that make the same steps. Gradients, parts of the loss and what a pass added to floating-point
            buffers are summed over them once a step, each by the share of its rows; so all see the same values, and leave
            out the same steps.
        scaling: whether the loss is scaled, as half precision needs, whose gradients become zero where they are small. A step
            left out because the scaled gradient overflows lowers the scale, and not the learning rate.

    Attributes:
        backoff: what the learning rate is to be multiplied by, 1 or less.
        skipped: steps left out so far.
    """

    def __init__(
        self,
        network: StochasticNetwork,
        optimizer: torch.optim.Optimizer,
        steps: int,
        ranks: Ranks | None = None,
        scaling: bool = False,
    ) -> None:
        self.backoff, self.skipped = 1.0, 0
        self._ranks = Ranks() if ranks is None else ranks
        self._optimizer = optimizer
        # what passes write to: a posterior's anchors, say, are buffers too, but as large as the network
        self._parts_with_buffers = [(name, part) for name, part in network.module.named_modules() if part._buffers]
        self._member_buffers = network.member_buffers
        self._row = self._worst = self._good = 0
        self._limit = MOST_IN_A_ROW if scaling else max(1, min(MOST_IN_A_ROW, steps // 2))
        device = network.reference_tensor.device
        self._kinds = of_one_kind([p for group in optimizer.param_groups for p in group["params"]])
        self._flags = torch.zeros(LOOK_EVERY, device=device)
        self._slots = [self._flags[i] for i in range(LOOK_EVERY)]  # made once: a step has no time for it
        self._parts: Tensor | None = None
        self._part_slots: list[Tensor] = []
        self._rows: list[int] = []
        self._before: dict[str, Tensor] = {}
        self._one = torch.ones((), device=device)
        self._scale = torch.tensor(_FIRST_SCALE, device=device) if scaling else None
        self._grown = torch.zeros((), dtype=torch.int32, device=device)
        self._asks = not (
            isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW))
            and all(group["fused"] for group in optimizer.param_groups)
        )

    @property
    def full(self) -> bool:
        """Whether it is time to look."""
        return len(self._rows) == LOOK_EVERY

    def before_pass(self) -> None:
        """Keep the buffers as they are before a pass that may write to them what is not finite."""
        self._before = {name: buffer.clone() for name, buffer in self._buffers()}

    def step(self, parts: ELBO, rows: int, share: float = 1.0) -> None:
        """Make an optimiser's step by the gradient of `parts.loss`, or leave it out.

        Args:
            parts: of the loss of a minibatch, or of the rows of it that are this process's.
            rows: how many it has, over all processes.
            share: how many of them are this process's, of 1.
        """
        at = len(self._rows)
        flag = self._slots[at]
        self._rows.append(rows)
        loss = parts.loss if self._scale is None else parts.loss * self._scale
        self._optimizer.zero_grad(set_to_none=True)
        (loss if self._ranks.alone else loss * share).backward()
        noted = self._note(at, parts)
        if not self._ranks.alone:
            self._add_up(noted, share)
        inverse = self._one if self._scale is None else self._scale.double().reciprocal().float()
        _check([noted[:1]], flag, self._one)
        for kind in self._kinds:
            grads = [_values(p.grad) for p in kind if p.grad is not None]
            if grads:
                _check(grads, flag, inverse)
        if self._scale is not None:
            torch._amp_update_scale_(self._scale, self._grown, flag, _GROWTH, _BACKOFF, _GROWTH_EVERY)
        if self._before:
            self._put_back(flag)
        if self._asks:
            if not flag.item():
                self._optimizer.step()
        else:
            self._optimizer.found_inf = flag  # type: ignore[attr-defined]
            self._optimizer.step()

    def look(self) -> list[Noted]:
        """What the steps since the last look noted."""
        count = len(self._rows)
        if not count or self._parts is None:
            return []
        flags = self._flags[:count].unsqueeze(1).to(self._parts.dtype)
        noted, trouble = [], False
        read = torch.cat([flags, self._parts[:count]], 1).tolist()
        for (flag, *parts), rows in zip(read, self._rows, strict=True):
            noted.append(Noted(rows, None if flag else (parts[0], parts[1], parts[2])))
            self._row = self._row + 1 if flag else 0
            self._good = 0 if flag else self._good + 1
            self.skipped += bool(flag)
            self._worst = max(self._worst, self._row)
            trouble |= bool(flag) and (self._scale is None or not math.isfinite(parts[0]))
        self._flags.zero_()
        self._rows.clear()
        if trouble:
            self.backoff /= 2
        elif self.backoff < 1 and self._good >= RECOVERY:
            self.backoff, self._good = 2 * self.backoff, 0
        return noted

    def refuse_more(self) -> None:
        """End the fit where too many steps in a row were left out; it may be tried on from there.

        Raises:
            FloatingPointError: they were.
        """
        worst, self._worst = self._worst, 0
        if worst >= self._limit:
            self._row = 0
            raise FloatingPointError(
                f"the loss or its gradient was NaN or infinite in {worst} steps in a row: lower lr, or check the scale of "
                "the data. No such step has changed the weights, which are those of the last good one"
            )

    def state(self) -> dict[str, Any]:
        """What continues in another process, just after a look."""
        scale = None if self._scale is None else float(self._scale)
        found = {"backoff": self.backoff, "skipped": self.skipped, "row": self._row, "good": self._good}
        return found | {"scale": scale, "grown": int(self._grown)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from such a state."""
        self.backoff, self.skipped = state["backoff"], state["skipped"]
        self._row, self._good = state["row"], state["good"]
        self._grown.fill_(state["grown"])
        if self._scale is not None:
            self._scale.fill_(state["scale"])

    @torch.no_grad()
    def _add_up(self, noted: Tensor, share: float) -> None:
        grads = []
        for parameter in itertools.chain.from_iterable(self._kinds):
            if not parameter.requires_grad:
                continue
            if parameter.grad is None:  # other processes may have one
                parameter.grad = torch.zeros_like(parameter)
            if parameter.grad.is_sparse:
                raise ValueError("sparse gradients cannot be summed over processes: use sparse=False")
            grads.append(_values(parameter.grad))
        moving = [(name, buffer) for name, buffer in self._buffers() if buffer.is_floating_point()]
        befores = [self._buffer_before(name) for name, _ in moving]
        # what was added, and not the buffers: those that no pass writes to, a mask of infinities say, stay as they are
        added = [
            torch.where(buffer == before, 0, buffer - before).mul_(share)
            for (_, buffer), before in zip(moving, befores, strict=True)
        ]
        noted *= share
        self._ranks.add_up([noted, *grads, *added])
        for (_, buffer), before, all_added in zip(moving, befores, added, strict=True):
            buffer.copy_(before + all_added)

    def _note(self, at: int, parts: ELBO) -> Tensor:
        noted = parts.loss.detach(), parts.log_likelihood, parts.kl
        if self._parts is None:
            first = torch.stack(noted)
            self._parts = torch.zeros(LOOK_EVERY, len(first), dtype=first.dtype, device=first.device)
            self._part_slots = list(self._parts)
        return torch.stack(noted, out=self._part_slots[at])

    def _buffers(self) -> Iterator[tuple[str, Tensor]]:
        for name, part in [*self._parts_with_buffers, (_MEMBERS, self._member_buffers)]:
            for own, buffer in part._buffers.items():
                if buffer is not None:
                    yield f"{name}.{own}".removeprefix("."), buffer

    @torch.no_grad()
    def _put_back(self, flag: Tensor) -> None:
        for name, buffer in self._buffers():
            buffer.copy_(torch.where(flag > 0, self._buffer_before(name), buffer))

    def _buffer_before(self, name: str) -> Tensor:
        before = self._before.get(name)
        if before is None:  # it became the members' own in this pass
            before = self._before[name.removeprefix(f"{_MEMBERS}.").replace("/", ".")]
        return before


def _check(tensors: list[Tensor], flag: Tensor, inverse: Tensor) -> None:
    """Multiply the tensors, all of one dtype, and set `flag` to 1 where one of their values is not finite."""
    if flag.device.type in ("cpu", "cuda"):
        torch._amp_foreach_non_finite_check_and_unscale_(tensors, flag, inverse)
    else:
        _check_one_by_one(tensors, flag, inverse)


def _check_one_by_one(tensors: Sequence[Tensor], flag: Tensor, inverse: Tensor) -> None:
    for tensor in tensors:  # where the operation that does all at once may be missing
        torch.maximum(flag, (~tensor.isfinite().all()).to(flag.dtype), out=flag)
        tensor.mul_(inverse)


def _values(grad: Tensor) -> Tensor:
    if grad.is_sparse:
        grad = grad._values()
    return torch.view_as_real(grad) if grad.is_complex() else grad
