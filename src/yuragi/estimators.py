"""Estimators: how a weight meets an activation in a stochastic forward pass.

The user's module runs as it is. A `TorchFunctionMode` looks up every tensor that an operation receives, by identity,
and puts a draw of the weight in its place. Linear and convolution operations go to a per-example estimator where that
is valid; any other operation gets one draw, the same for the whole pass.

    shared     one draw of the weights a pass (Blundell et al. 2015)
    flipout    one draw, with its sign flipped per example and input/output channel (Wen et al. 2018)
    local      noise on the outputs in place of the weights (Kingma, Salimans & Welling 2015)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from types import FrameType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from yuragi import stacked
from yuragi.buffers import PassBuffers
from yuragi.normals import Normals

Estimator = Literal["shared", "flipout", "local"]

# operation -> number of dimensions of a batched input (None: any with two or more)
_PER_EXAMPLE_OPS: dict[Callable[..., Any], int | None] = {
    F.linear: None,
    torch.conv1d: 3,
    torch.conv2d: 4,
    torch.conv3d: 5,
    F.conv_transpose1d: 3,
    F.conv_transpose2d: 4,
    F.conv_transpose3d: 5,
}
_FASTER: dict[Callable[..., Any], Callable[..., Any]] = {F.linear: stacked.linear}
_SIGNS = 2**15  # drawn at once
# attributes of a tensor that do not read its values: asking for them is not a use of the weight
_METADATA = frozenset(
    {"dim", "size", "stride", "numel", "is_contiguous", "data_ptr", "element_size", "is_floating_point"}
    | {"storage_offset", "untyped_storage", "nelement", "get_device", "__len__", "__hash__", "register_hook"}
    | {
        "is_complex",
        "is_conj",
        "is_neg",
        "is_signed",
        "is_inference",
        "is_shared",
        "is_pinned",
        "dim_order",
        "retain_grad",
    }
)
_METADATA_PROPERTIES = frozenset(
    {"shape", "dtype", "device", "ndim", "requires_grad", "is_leaf", "layout", "grad", "is_cuda", "is_cpu", "is_mps"}
    | {"is_nested", "is_sparse", "is_quantized", "is_meta", "is_mkldnn", "is_xpu", "itemsize", "nbytes", "grad_fn"}
    | {
        "is_mtia",
        "is_maia",
        "is_ipu",
        "is_xla",
        "is_hpu",
        "is_vulkan",
        "is_sparse_csr",
        "names",
        "output_nr",
        "_version",
    }
)
_SPARSE_GRADIENT = frozenset({"sparse", "sparse_grad"})  # options of lookups that ask for a sparse gradient


class WeightDraw:
    """One draw of the weights of one member, made where and when it is needed.

    Args:
        means: μ, one tensor a weight.
        deltas: w − μ of each weight, where it has been drawn already.
        scales: σ of each weight, for noise drawn on demand and for `local`.
        variances: σ² of each weight, where it is not to be made from `scales`.
        normals: source of noise drawn on demand.
        generator: of that noise.
    """

    def __init__(
        self,
        means: Sequence[Tensor],
        deltas: Sequence[Tensor] | None,
        scales: Sequence[Tensor] | None,
        variances: Sequence[Tensor] | None,
        normals: Normals,
        generator: torch.Generator | None,
    ) -> None:
        self.means = means
        self.scales = scales
        self.variances = variances
        self._normals = normals
        self.generator = generator
        self._noise = deltas
        self._deltas: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}
        self._signs: dict[int, tuple[Tensor, Tensor]] = {}
        self._stock: Tensor | None = None
        self._grad_enabled = torch.is_grad_enabled()

    def delta(self, index: int) -> Tensor | None:
        """w − μ, the same for the whole pass; None for a weight without noise."""
        if self._noise is None and self.scales is None:
            return None
        if index not in self._deltas:
            with self._as_in_the_pass():
                if self._noise is not None:
                    self._deltas[index] = self._noise[index]
                else:
                    assert self.scales is not None
                    scale = self.scales[index]
                    self._deltas[index] = scale * self.noise(scale)
        return self._deltas[index]

    def noise(self, like: Tensor) -> Tensor:
        """Standard normals in the shape of a tensor, drawn anew each time."""
        return self._normals(like.shape, like, self.generator)

    def variance(self, index: int, dtype: torch.dtype) -> Tensor:
        """σ², for a draw that has `scales`."""
        with self._as_in_the_pass():
            if self.variances is not None:
                return self.variances[index].to(dtype)
            assert self.scales is not None
            return self.scales[index].to(dtype).square()

    def value(self, index: int) -> Tensor:
        """w, the same for the whole pass."""
        if index not in self._values:
            delta = self.delta(index)
            if delta is None:
                return self.means[index]
            with self._as_in_the_pass():
                self._values[index] = self.means[index] + delta
        return self._values[index]

    def _as_in_the_pass(self) -> AbstractContextManager[Any]:
        # what a block under no_grad asks for first may be needed with its gradient later in the pass
        if torch.compiler.is_compiling() or (
            torch.is_grad_enabled() == self._grad_enabled and not torch.is_inference_mode_enabled()
        ):
            return nullcontext()
        stack = ExitStack()
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(self._grad_enabled))
        return stack

    def signs(self, index: int, rows: int, inputs: int, outputs: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Flipout's s [rows, inputs] and r [rows, outputs], ±1, the same wherever the weight is used in this pass."""
        if index not in self._signs:
            s = self._take_signs(rows * inputs, like).view(rows, inputs)
            r = self._take_signs(rows * outputs, like).view(rows, outputs)
            self._signs[index] = (s, r)
        return self._signs[index]

    def _take_signs(self, numel: int, like: Tensor) -> Tensor:
        # from a stock: a small network's layers need few, and drawing them costs more for the calls than for the signs
        if torch.compiler.is_compiling() and self.generator is None:  # it fuses this, and cannot draw from all integers
            return (torch.rand(numel, dtype=like.dtype, device=like.device) < 0.5).to(like.dtype) * 2 - 1
        if self._stock is None or self._stock.dtype != like.dtype or self._stock.shape[0] < numel:
            # one random integer gives eight signed bytes, and so eight signs: an eighth of the generator's work
            size = (-(-max(numel, _SIGNS) // 8),)
            words = torch.randint(-(2**63), 2**63 - 1, size, generator=self.generator, device=like.device)
            self._stock = words.view(torch.int8).to(like.dtype).add_(0.5).sign_()
        taken, self._stock = self._stock[:numel], self._stock[numel:]
        return taken


class Operation(NamedTuple):
    """A linear or convolution operation about to run; `weight` and `bias` are indices of Bayesian weights or None."""

    run: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    input: Tensor
    weight: int | None
    bias: int | None
    raw_weight: Tensor
    raw_bias: Tensor | None
    channels_last: bool

    @property
    def touched(self) -> list[int]:
        """Indices of the Bayesian weights in this operation."""
        return [index for index in (self.weight, self.bias) if index is not None]

    def at_mean(self, draw: WeightDraw) -> Tensor:
        """The operation with every Bayesian weight at its mean."""
        return self.run(
            self.input,
            self.raw_weight if self.weight is None else draw.means[self.weight],
            self.raw_bias if self.bias is None else draw.means[self.bias],
        )

    @property
    def channel_axis(self) -> int:
        """Which axis of the input and the output holds the channels."""
        return -1 if self.channels_last else 1

    def per_channel(self, values: Tensor) -> Tensor:
        """View [channels] or [B, channels] so that it broadcasts against the operation's input or output."""
        rank = self.input.dim()
        if rank == 2 and values.dim() == 2:
            return values
        rows = values.shape[:-1] or torch.Size([1])
        ones = [1] * (rank - 2)
        return values.reshape(*rows, *ones, -1) if self.channels_last else values.reshape(*rows, -1, *ones)


def flipout(op: Operation, draw: WeightDraw) -> Tensor:
    """y = op(x; μ) + op(x∘s; ΔW, Δb)∘r with random signs s, r per example and channel.

    Marginally each example sees its own draw ΔW∘(r sᵀ). Wen et al., "Flipout", 2018.
    """
    mean = op.at_mean(draw)
    axis = op.channel_axis
    s, r = draw.signs(op.touched[0], op.input.shape[0], op.input.shape[axis], mean.shape[axis], op.input)
    bias = None if op.bias is None else draw.delta(op.bias)
    delta = None if op.weight is None else draw.delta(op.weight)
    r = op.per_channel(r)
    if r.dtype != mean.dtype:  # under autocast
        r = r.to(mean.dtype)
    if delta is None:
        assert bias is not None
        return torch.addcmul(mean, op.per_channel(bias).to(mean.dtype), r)
    return torch.addcmul(mean, op.run(op.input * op.per_channel(s), delta, bias), r)


def local(op: Operation, draw: WeightDraw) -> Tensor:
    """y ~ N(op(x; μ), op(x²; σ²)), independent for each output.

    Exact for a Linear layer on [B, D]; across the positions of a convolution it is an approximation, which drops their
    correlation. Kingma, Salimans & Welling, "Variational dropout and the local reparameterization trick", 2015.
    """
    mean = op.at_mean(draw)
    precision = _at_least_single(mean)
    with _in_single_precision(mean):
        bias = None if op.bias is None else draw.variance(op.bias, precision)
        if op.weight is None:
            assert bias is not None
            variance = op.per_channel(bias).expand_as(mean)
        else:
            variance = op.run(op.input.to(precision).square(), draw.variance(op.weight, precision), bias)
        # clamp: the square root has no gradient at zero variance (dead units, features that are zero)
        std = variance.clamp_min(torch.finfo(variance.dtype).tiny).sqrt()
        noise = std * draw.noise(std)
    return mean + noise.to(mean.dtype)


def _at_least_single(like: Tensor) -> torch.dtype:
    return torch.promote_types(like.dtype, torch.float32)


def _in_single_precision(like: Tensor) -> AbstractContextManager[Any]:
    # in half precision the square of a small spread is zero, and the smallest variance is not small
    if _at_least_single(like) == like.dtype:
        return nullcontext()
    return torch.autocast(like.device.type, enabled=False)


_ESTIMATORS: dict[str, Callable[[Operation, WeightDraw], Tensor]] = {"flipout": flipout, "local": local}
ESTIMATORS: tuple[Estimator, ...] = ("shared", "flipout", "local")


class NeedsSharedDraw(Exception):
    """A weight already used per example in this pass met an operation that needs the shared draw: run the pass again."""


class NeedsLoop(Exception):
    """The pass cannot be vectorised over members."""


class WroteShared(Exception):
    """An operation would write what is one member's own into a buffer that all members share; it has not."""


class Substitution(TorchFunctionMode):
    """Every operation sees one draw of the weights, the same for the whole pass (`shared`).

    Args:
        index: identity of a network's tensor -> number of the weight.
        draw: the draw to put in place.
        buffers: the network's buffers, where members run.
        reached: the weights that some operation has used. What this pass uses is added.
    """

    def __init__(
        self,
        index: dict[int, int],
        draw: WeightDraw,
        buffers: PassBuffers | None = None,
        reached: set[int] | None = None,
    ) -> None:
        super().__init__()
        self.index = index
        self.draw = draw
        self.buffers = buffers
        self.reached = set() if reached is None else reached
        # False where the pass is not ours to run again: a weight that turns out to need the shared draw then has it from
        # here on, and in the whole of the next pass
        self.can_run_again = True
        self._grad_enabled = torch.is_grad_enabled()
        self._recomputable = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `func` with the draw in place of every weight among its arguments."""
        kwargs = kwargs or {}
        touched = self._touched(args)
        if kwargs:
            touched += self._touched(kwargs.values())
        if touched and not is_metadata(func):
            if not torch.compiler.is_compiling():
                self.reached.update(touched)
                self._refuse_wrong_backward()
            return self._run(func, args, kwargs, touched)
        if self.buffers is None:
            return func(*args, **kwargs)
        return self._with_buffers(func, args, kwargs)

    def _run(self, func: Callable[..., Any], args: Any, kwargs: Any, touched: list[int]) -> Any:
        # a spread has a gradient in every row, by the KL, and a draw's is cut from one tensor
        if kwargs:
            kwargs = kwargs | dict.fromkeys(_SPARSE_GRADIENT.intersection(kwargs), False)
        return self._with_buffers(func, args, kwargs)

    def _with_buffers(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        func = _FASTER.get(func, func)
        try:
            return func(*self._replace(args), **self._replace(kwargs))
        except (WroteShared, RuntimeError):
            # vmap has many ways to say that what is not batched cannot be written to; another error comes again below
            if self.buffers is None or not self.buffers.make_own(args, kwargs):
                raise
        return func(*self._replace(args), **self._replace(kwargs))

    def _touched(self, values: Iterable[Any]) -> list[int]:
        found = []
        for value in values:
            index = self.index.get(id(value))
            if index is not None:
                found.append(index)
            elif type(value) in (list, tuple):
                found += self._touched(value)
            elif type(value) is dict:
                found += self._touched(value.values())
        return found

    def _replace(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            index = self.index.get(id(value))
            if index is not None:
                return self.draw.value(index)
            return value if self.buffers is None else self.buffers.own.get(id(value), value)
        if type(value) in (list, tuple):
            return type(value)([self._replace(one) for one in value])
        if type(value) is dict:
            return {key: self._replace(one) for key, one in value.items()}
        return value

    def drawn(self, result: Any) -> Any:
        """What the network returned, with the draw in place of every weight that it returned untouched."""
        if isinstance(result, Tensor):  # an operation like any other: the draw is not to be made outside of one
            return result.view_as(result) if id(result) in self.index else self._replace(result)
        if type(result) in (list, tuple):
            return type(result)(self.drawn(one) for one in result)
        if type(result) is dict:
            return {key: self.drawn(one) for key, one in result.items()}
        return result

    def _refuse_wrong_backward(self) -> None:
        # Gradient checkpointing runs its region again in backward, outside this mode: without weights drawn, and so
        # with a wrong gradient. Non-reentrant regions show as saved-tensor hooks, reentrant ones run without gradient.
        if not self._grad_enabled or self._recomputable:
            return
        hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)
        inside = hooks is not None and hooks[0].__module__ == "torch.utils.checkpoint"
        function = None if torch.is_grad_enabled() else _enclosing_function()
        if inside or function is torch.utils.checkpoint.CheckpointFunction:
            raise RuntimeError(
                "torch.utils.checkpoint inside a Bayesian forward pass would recompute with other weights than it ran "
                "with. Give it the draw: checkpoint(fn, x, use_reentrant=False, context_fn=yuragi.checkpoint_contexts)"
            )
        # No mode sees `apply`: the draw would be put in place inside its forward, where nothing is recorded.
        if function is not None:
            raise RuntimeError(
                f"the autograd function {function.__name__} is given a Bayesian weight itself, so its backward would use "
                f"the mean in place of the draw: give it {function.__name__}.apply(..., weight.clone()), or leave the "
                "weight deterministic with bayesianize(..., where=)"
            )

    def recomputable(self) -> AbstractContextManager[None]:
        """A context in which all operations use the shared draw, so that a second run sees the same weights."""
        return _Recomputable(self)


class PerExample(Substitution):
    """As `Substitution`, but linear and convolution operations draw per example where that is valid.

    Args:
        index: identity of a network's tensor -> number of the weight.
        draw: the draw to put in place elsewhere.
        buffers: the network's buffers, where members run.
        estimator: "flipout" or "local".
        batch: number of examples in the network's input.
        shared: weight -> why it needs the shared draw. What is found out in this pass is added.
        reached: the weights that some operation has used. What this pass uses is added.
    """

    def __init__(
        self,
        index: dict[int, int],
        draw: WeightDraw,
        buffers: PassBuffers | None,
        estimator: Estimator,
        batch: int | None,
        shared: dict[int, str],
        reached: set[int] | None = None,
    ) -> None:
        super().__init__(index, draw, buffers, reached)
        self.estimator = estimator
        self.batch = batch
        self.shared = shared
        self.used: dict[int, tuple[Any, ...]] = {}  # weight drawn per example -> what its signs belong to

    def _run(self, func: Callable[..., Any], args: Any, kwargs: Any, touched: list[int]) -> Any:
        op = self._operation(func, args, kwargs) if func in _PER_EXAMPLE_OPS else None
        reason = f"used by {func.__name__}" if op is None else self._why_shared(func, op, touched)
        if not reason:
            assert op is not None
            self.used.update(dict.fromkeys(touched, _sign_key(func, op, touched)))
            return _ESTIMATORS[self.estimator](op, self.draw)
        conflict = any(index in self.used for index in touched)
        for index in touched:
            self.shared.setdefault(index, reason)
        if conflict and self.can_run_again:
            raise NeedsSharedDraw
        return super()._run(func, args, kwargs, touched)

    def _why_shared(self, func: Callable[..., Any], op: Operation, touched: list[int]) -> str:
        """Why one draw must serve all examples here; empty where it need not."""
        for index in touched:
            if index in self.shared:
                return self.shared[index]
        if self._recomputable:
            return "inside gradient checkpointing"
        rank, x = _PER_EXAMPLE_OPS[func], op.input
        if len(touched) != (op.weight is not None) + (op.bias is not None) or (
            x.dim() < 2 if rank is None else x.dim() != rank
        ):
            return f"{func.__name__} on {x.dim()} dimensions"
        if self.batch is None or x.shape[0] != self.batch:
            return f"leading dimension {x.shape[0]} is not the batch of {self.batch}"
        if self.estimator == "local" and rank is None and x.dim() != 2:
            return "local on more than two dimensions"
        again = [index for index in touched if index in self.used]
        if again and self.estimator == "local":
            return "local on a weight used twice"
        if any(self.used[index] != _sign_key(func, op, touched) for index in again):
            return "flipout by operations whose signs cannot agree"
        return ""

    def _operation(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Operation | None:
        named = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
        rest = args[3:]
        x, weight, bias = named.pop("input"), named.pop("weight"), named.pop("bias", None)

        def run(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            result: Tensor = _FASTER.get(func, func)(x, weight, bias, *rest, **named)
            return result

        return Operation(
            run, x, self.index.get(id(weight)), self.index.get(id(bias)), weight, bias, _PER_EXAMPLE_OPS[func] is None
        )


def _sign_key(func: Callable[..., Any], op: Operation, touched: list[int]) -> tuple[Any, ...]:
    # one draw of a weight has one sign for each of its channels: only operations that agree on these may share it
    return func, touched[0], op.input.shape[op.channel_axis]


class _Recomputable:
    def __init__(self, mode: Substitution) -> None:
        self.mode = mode

    def __enter__(self) -> None:
        self.before = self.mode._recomputable
        self.mode._recomputable = True

    def __exit__(self, *_: object) -> None:
        self.mode._recomputable = self.before


def is_metadata(func: Callable[..., Any]) -> bool:
    """Whether an operation asks for what is known of a tensor without reading its values."""
    name = getattr(func, "__name__", "")
    if name == "__get__":
        return getattr(getattr(func, "__self__", None), "__name__", "") in _METADATA_PROPERTIES
    return name in _METADATA


def _enclosing_function() -> type[torch.autograd.Function] | None:
    # the autograd function in whose forward this is called
    apply = torch.autograd.Function.apply.__func__.__code__  # type: ignore[attr-defined]
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is apply:
            function: type[torch.autograd.Function] = frame.f_locals["cls"]
            return function
        frame = frame.f_back
    return None
