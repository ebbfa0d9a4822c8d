"""`compare`: every method on the same splits, with the same network, noise and time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from yuragi.comparison.cost import PeakMemory, warm_up
from yuragi.comparison.result import Comparison
from yuragi.comparison.scores import Predicted, scored, scored_in_gap
from yuragi.comparison.splits import Gap, Positions, Split, gaps_of, splits_of
from yuragi.comparison.trial import AllRefusedError, Prepared, Refused, Rules, check_installed, fit
from yuragi.data import check_pair, take_rows
from yuragi.likelihoods import Categorical, Gaussian, Likelihood
from yuragi.priors import Prior
from yuragi.starts import built_anew

GAP = 1 / 3
"""Share of the training rows in the gap."""
Methods = Sequence[str] | Mapping[str, Mapping[str, Any]]
Prepare = Callable[[Positions, int], Prepared]
"""From the rows to train on, and a seed."""
Progress = Callable[[float, str], object]


def compare(
    net: nn.Module | Callable[[], nn.Module],
    data: Any,
    methods: Methods | None = None,
    *,
    budget: float | None = None,
    likelihood: Likelihood | None = None,
    prior: Prior | None = None,
    splits: int | Iterable[Any] = 5,
    held_out: float = 0.2,
    gap: float = GAP,
    seed: int = 0,
    keep_predictions: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Fit every method of `yuragi.methods` to the same rows, and score it on the same others.

    In each split each method gets the same network at the same start, likelihood, rows, seed and time. Scored are the rows
    held out: see `yuragi.comparison.scores.scored`. Then all are fitted once more, to the training rows without the middle of
    them along the first principal axis of x, and scored in that gap: see `yuragi.comparison.splits.gap_of`. So there are two
    fits for each method and split. Nothing is rescaled: give inputs and targets of about unit size, as to `yuragi.fit`, or
    a table to `yuragi.tables.compare_table`.

    The differences between methods are paired over splits, with a standard error that counts in that splits share rows
    (`yuragi.comparison.paired.paired_error`), and the best is marked only where it leads each other one by more than two of
    them. A method that cannot handle the network, the likelihood or the data, or whose library is not installed, is
    `skipped`, with its reason.

    Args:
        net: the network, which is left as it is: each split begins with a copy whose trainable weights are drawn anew, by
            `reset_parameters()` where a module has it and else with the mean and spread that a tensor has; what is frozen and
            buffers are kept. Or a function that makes it, called in each split with the global random state seeded.
        data: (x, y) tensors or arrays, y [N, *out] or, of classes, integers [N].
        methods: names from `yuragi.methods.METHODS`, or a mapping from them to settings of their own. None: all.
        budget: seconds a fit, which each method obeys by its own settings; as long as each takes when None.
        likelihood: p(y∣f(x)) of all; `Gaussian(noise="learned")` when None.
        prior: p(w) of all that have one; None: that of each method's own, `FanIn()` or none.
        splits: how many times rows are held out at random (of each class, where the likelihood is `Categorical`), or pairs of
            row numbers to train on and to score, as `yuragi.comparison.folds` or a splitter of scikit-learn gives them.
        held_out: share of the rows to score, where `splits` is a number.
        gap: share of the training rows in the gap; 0 for no such fits.
        seed: of the first split and all that is random in it; each further one has the next.
        keep_predictions: whether the result keeps the predictions of the scored rows.
        progress: called before each fit with the share of them that is done, and which it is.

    Returns:
        A `Comparison`: print it.

    Raises:
        ValueError: there is no such method, an argument is out of range, the data are empty, NaN or infinite, or no method
            could be run. What a method itself raises otherwise passes through, with a note that says which it was.

    Example:
        >>> import yuragi as yu
        >>> x = torch.linspace(-1, 1, 40).reshape(-1, 1)
        >>> net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
        >>> found = compare(net, (x, x.sin()), {"last_layer": {"epochs": 20}, "quantile": {"epochs": 20}}, splits=1, gap=0)
        >>> sorted(row["method"] for row in found.table()), found.skipped
        (['last_layer', 'quantile'], {})
    """
    rules = Rules(Gaussian() if likelihood is None else likelihood, prior, budget)
    chosen = chosen_methods(methods)
    first = _network(net, seed)
    like = next((p for p in first.parameters() if p.is_floating_point()), torch.empty(()))
    x, y = check_pair("data", data, like.device, like.dtype)
    rules.likelihood.check_targets(y)
    labels = y.cpu().numpy() if isinstance(rules.likelihood, Categorical) else None
    found = splits_of(splits, len(y), held_out, seed, labels)
    gaps = gaps_of(found, x, gap)

    def prepare(rows: Positions, seed: int) -> Prepared:
        def inputs(rows: Positions) -> Any:
            return take_rows(x, _index(rows, y))

        return Prepared(_network(net, seed), (inputs(rows), y[_index(rows, y)]), inputs)

    weights = sum(parameter.numel() for parameter in first.parameters())
    about = {"network": f"{type(first).__name__} of {weights:,} weights", "gap": gap}
    return run_all(
        prepare,
        y,
        found,
        gaps,
        chosen,
        rules,
        seed=seed,
        about=about,
        keep_predictions=keep_predictions,
        progress=progress,
    )


def chosen_methods(methods: Methods | None) -> dict[str, Mapping[str, Any]]:
    """Methods by name, with settings of their own.

    Raises:
        ValueError: there is no such method, none at all, or one twice.
    """
    from yuragi.methods import METHODS

    names = list(METHODS) if methods is None else [methods] if isinstance(methods, str) else list(methods)
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise ValueError(f"no method is called {', '.join(map(repr, unknown))}: there are {', '.join(METHODS)}")
    if not names:
        raise ValueError(f"methods is empty: give some of {', '.join(METHODS)}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"method {twice!r} is given twice")
    return {name: methods[name] if isinstance(methods, Mapping) else {} for name in names}


def run_all(
    prepare: Prepare,
    y: Tensor,
    splits: Sequence[Split],
    gaps: Sequence[Gap],
    methods: Mapping[str, Mapping[str, Any]],
    rules: Rules,
    *,
    seed: int,
    about: Mapping[str, Any],
    keep_predictions: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Fit and score all methods on all splits, one split after another.

    Args:
        prepare: from rows to train on to what the methods get.
        y: targets of all rows, in the units of the scores.
        splits: the rows.
        gaps: one a split, or none.
        methods: by name, with settings of their own.
        rules: what is the same for all.
        seed: of the first split.
        about: the network and whatever else belongs into the result's settings.
        keep_predictions: as for `compare`.
        progress: as for `compare`.

    Raises:
        AllRefusedError: no method could be run.
    """
    found: dict[str, list[_Scored]] = {method: [] for method in methods}
    skipped: dict[str, str] = {}
    warm_up()
    for method in methods:
        try:
            check_installed(method)
        except Refused as refused:
            skipped[method] = str(refused)
    for number, split in enumerate(splits):
        prepared = prepare(split.train, seed + number)
        with_gap = (gaps[number], prepare(gaps[number].train, seed + number)) if gaps else None
        for place, (method, settings) in enumerate(methods.items()):
            if method in skipped:
                continue
            where = f"{method}, split {number + 1} of {len(splits)}"
            try:
                with _named(where):
                    _tell(progress, (number + place / len(methods)) / len(splits), where)
                    one = _scored(method, settings, prepared, rules, seed + number, split.test, y)
                    if with_gap is not None:
                        done = (number + (place + 0.5) / len(methods)) / len(splits)
                        _tell(progress, done, f"{where}, with a gap")
                        one = one.joined(_scored_in_gap(method, settings, with_gap, rules, seed + number, y))
            except Refused as refused:
                skipped[method] = str(refused)
                continue
            found[method].append(one if keep_predictions else replace(one, prediction=None))
    ran = [method for method in methods if method not in skipped]
    if not ran:
        reasons = "; ".join(f"{method}: {reason}" for method, reason in skipped.items())
        raise AllRefusedError(f"no method could be run: {reasons}")
    own = {method: {name: repr(value) for name, value in given.items()} for method, given in methods.items() if given}
    kept = {method: tuple(one.prediction for one in found[method] if one.prediction is not None) for method in ran}
    warned = {method: tuple(text for one in found[method] for text in one.warned) for method in ran}
    return Comparison(
        {
            method: {name: tuple(one.values[name] for one in found[method]) for name in found[method][0].values}
            for method in ran
        },
        skipped,
        {method: texts for method, texts in warned.items() if texts},
        tuple((len(split.train), len(split.test)) for split in splits),
        {
            **about,
            "likelihood": repr(rules.likelihood),
            "prior": None if rules.prior is None else repr(rules.prior),
            "budget": rules.budget,
            "seed": seed,
            "methods": own,
        },
        {method: predictions for method, predictions in kept.items() if predictions},
    )


@dataclass(frozen=True, eq=False)
class _Scored:
    """A method's scores in one split, the prediction that has them, and a warning of each fit that had not converged."""

    values: dict[str, float]
    prediction: Predicted | None
    warned: tuple[str, ...]

    def joined(self, other: _Scored) -> _Scored:
        return _Scored(self.values | other.values, self.prediction, self.warned + other.warned)


def _scored(
    method: str,
    settings: Mapping[str, Any],
    prepared: Prepared,
    rules: Rules,
    seed: int,
    rows: Positions,
    y: Tensor,
) -> _Scored:
    with PeakMemory(prepared.device) as memory:
        fitted = fit(method, settings, prepared, rules, seed)
    prediction, seconds = fitted.predict(rows)
    cost = {"fit_seconds": fitted.seconds, "predict_seconds": seconds, "memory": memory.mib}
    return _Scored(scored(prediction, y[_index(rows, y)]) | cost, prediction, fitted.warned[:1])


def _scored_in_gap(
    method: str, settings: Mapping[str, Any], with_gap: tuple[Gap, Prepared], rules: Rules, seed: int, y: Tensor
) -> _Scored:
    gap, prepared = with_gap
    fitted = fit(method, settings, prepared, rules, seed)
    prediction, inside = (fitted.predict(rows)[0] for rows in (gap.gap, gap.inside))
    return _Scored(scored_in_gap(prediction, inside, y[_index(gap.gap, y)]), None, fitted.warned[:1])


def _network(net: nn.Module | Callable[[], nn.Module], seed: int) -> nn.Module:
    # one at its start
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = built_anew(net) if isinstance(net, nn.Module) else net()
    if not isinstance(made, nn.Module):
        raise TypeError(f"net must be an nn.Module or a function that makes one, and it made a {type(made).__name__}")
    return made


def _index(rows: Positions, like: Tensor) -> Tensor:
    return torch.from_numpy(rows).to(like.device)


def _tell(progress: Progress | None, done: float, where: str) -> None:
    if progress is not None:
        progress(done, where)


@contextmanager
def _named(where: str) -> Iterator[None]:
    # what a method raises says which one it was
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        error.add_note(f"compare was running {where}")
        raise
