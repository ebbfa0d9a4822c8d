"""`compare` gives every method the same, scores it as one would by hand, and hides nothing that goes wrong."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.methods.test_protocol import NEEDS, QUICK
from torch import Tensor, nn

import yuragi as yu
from yuragi import demo, methods
from yuragi.comparison import folds, random_splits
from yuragi.comparison.splits import gap_of, principal_positions
from yuragi.methods.wrapped import LIBRARIES
from yuragi.predictions import RegressionPrediction
from yuragi.starts import built_anew
from yuragi.torch_warnings import without_script_warnings

X = torch.linspace(-2, 2, 60).reshape(-1, 1)
Y = X.sin()
NOISE = yu.Gaussian(0.1)


def network(outputs: int = 1) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, outputs))


class Constant:
    """A method whose predictions are known: y ~ N(level, 0.1²), whatever x; epistemic is |x|."""

    def __init__(self, level: float = 0.0, better: float = 0.0) -> None:
        self.level, self.better = level, better
        self.seen: list[tuple[nn.Module, Any, dict[str, Any]]] = []

    def run(
        self,
        net: nn.Module,
        data: Any,
        *,
        likelihood: Any = None,
        prior: Any = None,
        seed: int = 0,
        seconds: float | None = None,
    ) -> Constant:
        self.seen.append((net, data, {"likelihood": likelihood, "prior": prior, "seed": seed}))
        return self

    def predict(self, x: Tensor) -> RegressionPrediction:
        signs = torch.tensor([1.0, -1.0]).double().reshape(2, 1, 1)
        return RegressionPrediction(self.level + signs * x.double().abs(), torch.tensor(0.1).double())


def install(patch: pytest.MonkeyPatch, **runs: Callable[..., Any]) -> None:
    for name, run in runs.items():
        patch.setitem(methods.METHODS, name, run)


def test_every_method_gets_the_same_and_is_scored_on_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Constant(), Constant(2.0)
    install(monkeypatch, one=one.run, other=other.run)
    prior = yu.priors.Normal(scale=2.0)
    found = yu.compare(
        network(), (X, Y), ["one", "other"], likelihood=NOISE, prior=prior, splits=2, seed=4, keep_predictions=True
    )
    splits = random_splits(60, 2, 0.2, seed=4)
    at = principal_positions(X)
    assert len(one.seen) == len(other.seen) == 4
    for number, split in enumerate(splits):
        gap = gap_of(split, at, 1 / 3)
        for place, rows in ((2 * number, split.train), (2 * number + 1, gap.train)):
            (net, (x, y), given), (net_too, (x_too, y_too), given_too) = one.seen[place], other.seen[place]
            assert net is net_too
            assert torch.equal(x, x_too)
            assert torch.equal(y, y_too)
            assert torch.equal(x, X[torch.from_numpy(rows)])
            assert torch.equal(y, Y[torch.from_numpy(rows)])
            assert given["seed"] == given_too["seed"] == 4 + number
            assert repr(given["likelihood"]) == repr(NOISE)
            assert repr(given["prior"]) == repr(prior)
        prediction = other.predict(X[torch.from_numpy(split.test)])
        y = Y[torch.from_numpy(split.test)]
        assert torch.equal(found.predictions["other"][number].samples, prediction.samples)
        assert found.values["other"]["log_likelihood"][number] == float(prediction.log_prob(y).mean())
        assert found.values["other"]["rmse"][number] == pytest.approx(float((y - 2).square().mean().sqrt()))
        assert found.values["other"]["crps"][number] == float(prediction.crps(y).mean())
        inside, outside = (X[torch.from_numpy(rows)].abs().mean() for rows in (gap.inside, gap.gap))
        assert found.values["one"]["gap_ratio"][number] == pytest.approx(float(outside / inside))
    assert found.sizes == ((48, 12),) * 2


def test_the_network_begins_anew_in_each_split_and_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    before = [parameter.clone() for parameter in net.parameters()]
    one = Constant()
    install(monkeypatch, one=one.run)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    yu.compare(net, (X, Y), ["one"], splits=2, gap=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(old, new) for old, new in zip(before, net.parameters(), strict=True))
    starts = [next(seen[0].parameters()) for seen in one.seen]
    assert not torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], before[0])
    again = Constant()
    install(monkeypatch, one=again.run)
    yu.compare(net, (X, Y), ["one"], splits=2, gap=0)
    assert torch.equal(next(again.seen[1][0].parameters()), starts[1])


def test_what_is_frozen_stays_and_what_nothing_resets_is_redrawn() -> None:
    class Raw(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frozen, self.norm = nn.Linear(2, 2).requires_grad_(False), nn.BatchNorm1d(2)
            self.raw = nn.Parameter(torch.linspace(3, 5, 2000))

    net = Raw()
    net.get_buffer("norm.running_mean").fill_(7)
    other = built_anew(net)
    assert isinstance(other, Raw)
    assert torch.equal(other.frozen.weight, net.frozen.weight)
    assert torch.equal(other.get_buffer("norm.running_mean"), net.get_buffer("norm.running_mean"))
    assert not torch.equal(other.raw, net.raw)
    assert float(other.raw.detach().mean()) == pytest.approx(4, abs=3 * float(net.raw.detach().std()) / math.sqrt(2000))


def test_a_function_makes_the_network_of_each_split(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Constant()
    install(monkeypatch, one=one.run)
    yu.compare(lambda: nn.Linear(1, 1), (X, Y), ["one"], splits=2, gap=0, seed=5)
    for number, (net, _, _) in enumerate(one.seen):
        with torch.random.fork_rng():
            torch.manual_seed(5 + number)
            expected = nn.Linear(1, 1)
        assert torch.equal(next(net.parameters()), expected.weight)
    with pytest.raises(TypeError, match="made a int"):
        yu.compare(lambda: 3, (X, Y), ["one"])  # type: ignore[arg-type, return-value]


def test_splits_that_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Constant()
    install(monkeypatch, one=one.run)
    found = yu.compare(network(), (X.numpy(), Y.numpy()), ["one"], splits=folds(60, 4), gap=0)
    assert found.sizes == ((45, 15),) * 4
    assert "gap_ratio" not in found.values["one"]


def test_the_budget_and_settings_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []

    def timed(net: Any, data: Any, *, likelihood: Any, prior: Any, seed: int, seconds: Any = None, k: int = 0) -> Any:
        given.append({"seconds": seconds, "k": k})
        return Constant()

    install(monkeypatch, timed=timed)
    found = yu.compare(network(), (X, Y), {"timed": {"k": 3}}, budget=2.5, splits=1, gap=0)
    assert given == [{"seconds": 2.5, "k": 3}]
    assert found.settings["budget"] == 2.5
    assert found.settings["methods"] == {"timed": {"k": "3"}}
    for budget in (0, -1.0, math.inf):
        with pytest.raises(ValueError, match="budget must be a positive number of seconds"):
            yu.compare(network(), (X, Y), ["timed"], budget=budget)


def test_a_method_that_cannot_is_skipped_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(Constant):
        def run(self, *args: Any, **settings: Any) -> Constant:
            if len(self.seen) == 2:
                raise ValueError("no more splits for me")
            return super().run(*args, **settings)

    def needs(*_: Any, **__: Any) -> Any:
        raise ModuleNotFoundError("this method needs abacus")

    install(monkeypatch, one=Constant().run, later=Later().run, needs=needs)
    found = yu.compare(network(), (X, Y), ["later", "one", "needs"], splits=3, gap=0)
    assert found.skipped == {"needs": "this method needs abacus", "later": "no more splits for me"}
    assert list(found.values) == ["one"]
    for reason in ("skipped: needs: this method needs abacus", "skipped: later: no more splits for me"):
        assert reason in str(found)
    with pytest.raises(ValueError, match="no method could be run: needs: this method needs abacus"):
        yu.compare(network(), (X, Y), ["needs"])


def test_a_method_whose_library_is_missing_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, one=Constant().run)
    monkeypatch.setitem(LIBRARIES, "deep_gp", ("no_such_library", "gp"))
    found = yu.compare(network(), (X, Y), ["deep_gp", "one"], splits=1, gap=0)
    assert found.skipped == {"deep_gp": 'this method needs the package no_such_library: pip install "yuragi[gp]"'}


def test_a_likelihood_that_a_method_cannot_handle_is_its_reason() -> None:
    labels = (Y[:, 0] > 0).long()
    few = {name: QUICK[name] for name in ("quantile", "collapsed", "last_layer")}
    found = yu.compare(network(2), (X, labels), few, likelihood=yu.Categorical(), splits=2)
    assert set(found.skipped) == {"quantile", "collapsed"}
    assert all("Categorical()" in reason for reason in found.skipped.values())
    assert list(found.values) == ["last_layer"]
    assert [score.name for score in found.scores[:3]] == ["accuracy", "log_likelihood", "brier"]


def test_anything_else_passes_through_with_the_methods_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of chalk")

    class Late(Constant):
        def predict(self, x: Tensor) -> RegressionPrediction:
            raise ValueError("not in predict")

    install(monkeypatch, broken=broken, late=Late().run)
    for method, kind in (("broken", RuntimeError), ("late", ValueError)):
        with pytest.raises(kind) as error:
            yu.compare(network(), (X, Y), [method], splits=2)
        assert error.value.__notes__ == [f"compare was running {method}, split 1 of 2"]


def test_warnings_of_convergence_are_kept_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Warns(Constant):
        def run(self, *args: Any, **settings: Any) -> Constant:
            warnings.warn("still falling", yu.ConvergenceWarning)
            warnings.warn("an old thing", DeprecationWarning)
            return super().run(*args, **settings)

    install(monkeypatch, warns=Warns().run)
    with warnings.catch_warnings():
        warnings.simplefilter("always", DeprecationWarning)
        with pytest.warns(DeprecationWarning, match="an old thing") as caught:
            found = yu.compare(network(), (X, Y), ["warns"], splits=1)
    assert not [one for one in caught if issubclass(one.category, yu.ConvergenceWarning)]
    assert found.warned == {"warns": ("still falling",) * 2}
    assert "not converged: warns, 2 of 2 fits: still falling" in str(found)


def test_progress_is_told_before_each_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[float, str]] = []
    install(monkeypatch, one=Constant().run, two=Constant().run)
    yu.compare(network(), (X, Y), ["one", "two"], splits=2, progress=lambda done, what: told.append((done, what)))
    assert [done for done, _ in told] == pytest.approx([number / 8 for number in range(8)])
    assert told[1][1] == "one, split 1 of 2, with a gap"
    assert told[6][1] == "two, split 2 of 2"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"methods": ["svi", "magic"]}, "no method is called 'magic': there are collapsed, deep_gp, ensemble, hmc"),
        ({"methods": "magic"}, "no method is called 'magic'"),
        ({"methods": []}, "methods is empty"),
        ({"methods": ["svi", "svi"]}, "'svi' is given twice"),
        ({"data": (X, Y[:5])}, "x has 60 rows, but y has shape"),
        ({"data": (X, Y / 0)}, "NaN or infinite"),
        ({"data": (X[:4], Y[:4])}, "4 rows are too few"),
        ({"splits": 0}, "splits must be at least 1"),
        ({"gap": 1.0}, "gap must be a share"),
        ({"data": (torch.arange(60).reshape(-1, 1), Y)}, "give a gap of 0"),
        ({"likelihood": yu.Categorical()}, "labels"),
    ],
)
def test_bad_input(given: dict[str, Any], message: str) -> None:
    given = {"data": (X, Y), "methods": ["svi"], **given}
    with pytest.raises(ValueError, match=message):
        yu.compare(network(), given.pop("data"), **given)


def test_data_that_are_no_pair() -> None:
    with pytest.raises(TypeError, match="data must be a pair"):
        yu.compare(network(), X, ["svi"])


def test_the_same_seed_gives_the_same_scores() -> None:
    def scores() -> Any:
        found = yu.compare(network(), (X, Y), {"last_layer": QUICK["last_layer"]}, likelihood=NOISE, splits=1, seed=1)
        return {name: value for name, value in found.values["last_layer"].items() if name not in COSTS}

    assert scores() == scores()


COSTS = ("fit_seconds", "predict_seconds", "memory")


def test_memory_is_what_a_fit_holds_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Large(Constant):
        def run(self, *args: Any, **settings: Any) -> Constant:
            held = [torch.ones(2**20) for _ in range(40)]  # 160 MiB
            assert held
            return super().run(*args, **settings)

    install(monkeypatch, large=Large().run, small=Constant().run)
    found = yu.compare(network(), (X, Y), ["large", "small"], splits=1, gap=0)
    large, small = (found.values[method]["memory"][0] for method in ("large", "small"))
    assert math.isnan(large) or (150 < large < 200 and small < 50)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
def test_no_method_is_skipped_on_the_articles_network_and_data() -> None:
    for library in NEEDS.values():
        with without_script_warnings():
            pytest.importorskip(library)
    x, y = demo.data()
    found = yu.compare(demo.network(), (x, y), QUICK, likelihood=yu.Gaussian(0.1), splits=2)
    assert found.skipped == {}
    assert set(found.values) == set(methods.METHODS)
    for scores in found.values.values():
        assert all(np.isfinite(scores["log_likelihood"]))
    assert json.dumps(found.described(), allow_nan=False)
