"""Programs with the draws in them say what `predict` says, for any number of rows, in PyTorch and in onnxruntime."""

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Laplace

import yuragi as yu
from yuragi import export
from yuragi.bayesian import as_arguments
from yuragi.data import take_rows
from yuragi.quantization import quantize

# torch.export of a recurrent layer, which renews its list of weights when they are replaced
FLAT_WEIGHTS = "ignore:The tensor attributes? .*_flat_weights:UserWarning"


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, series: Tensor) -> Tensor:
        result: Tensor = self.head(self.lstm(series)[0][:, -1])
        return result


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.encoder(x).mean(1))
        return result


class Several(nn.Module):
    """Two inputs, one of them integers and called as an output of the program is, and several outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(5, 4), nn.Linear(6, 2)

    def forward(self, kind: Tensor, mean: Tensor) -> dict[str, Tensor]:
        joined = torch.cat([self.embedding(kind), mean], 1)
        return {"hidden": joined, "y": self.head(joined)}


def mlp(outputs: int = 2) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, outputs))


def conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 1),
    )


def made(build: Callable[[], nn.Module], x: Any, **options: Any) -> yu.Bayesian:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options.setdefault("posterior", yu.posteriors.MeanField(init_scale=0.2))
        bnn = yu.bayesianize(build(), seed=0, **options)
        args, kwargs = as_arguments(x)
        bnn(*args, **kwargs)  # gives BatchNorm statistics that are not those of a standard normal
    return bnn


SEVERAL = (torch.arange(7) % 5, randn(7, 2))
# network, input, options of bayesianize
CASES: dict[str, tuple[Callable[[], nn.Module], Any, dict[str, Any]]] = {
    "fixed noise": (mlp, randn(7, 3), {"likelihood": yu.Gaussian(noise=0.1)}),
    "learned noise": (mlp, randn(7, 3), {"likelihood": yu.Gaussian(outputs=2), "members": 3}),
    "noise of each member": (
        mlp,
        randn(7, 3),
        {"likelihood": yu.Gaussian(noise=torch.tensor([0.1, 0.2, 0.4])), "members": 3},
    ),
    "scale from the network": (mlp, randn(7, 3), {"likelihood": yu.likelihoods.HeteroscedasticGaussian()}),
    "student-t": (mlp, randn(7, 3), {"likelihood": yu.likelihoods.StudentT(members=2), "members": 2}),
    "scale from the network, student-t": (
        mlp,
        randn(7, 3),
        {"likelihood": yu.likelihoods.HeteroscedasticStudentT(), "posterior": yu.posteriors.Anchored(), "members": 3},
    ),
    "counts": (mlp, randn(7, 3), {"likelihood": yu.likelihoods.Poisson()}),
    "dispersed counts": (mlp, randn(7, 3), {"likelihood": yu.likelihoods.NegativeBinomial()}),
    "yes or no": (mlp, randn(7, 3), {"likelihood": yu.likelihoods.Bernoulli()}),
    "classes": (mlp, randn(7, 3), {"likelihood": yu.Categorical(), "members": 2}),
    "classes at positions": (lambda: nn.Conv1d(2, 3, 3), randn(7, 2, 6), {"likelihood": yu.Categorical()}),
    "anchored": (mlp, randn(7, 3), {"posterior": yu.posteriors.Anchored(), "members": 3}),
    "anchored classes": (
        mlp,
        randn(7, 3),
        {"posterior": yu.posteriors.Anchored(), "members": 3, "likelihood": yu.Categorical()},
    ),
    "batch norm and dropout": (conv, randn(7, 1, 6, 6), {}),
    "batch norm, members": (conv, randn(7, 1, 6, 6), {"members": 2}),
    "lstm": (Recurrent, randn(7, 3, 3), {}),
    "transformer": (Attention, randn(7, 4, 8), {"likelihood": yu.Categorical()}),
    "last layer only": (Attention, randn(7, 4, 8), {"where": "head", "members": 2}),
    "double precision": (lambda: mlp().double(), randn(7, 3).double(), {}),
    "several inputs": (Several, SEVERAL, {"output": "y"}),
    "keyword inputs": (Several, {"mean": SEVERAL[1], "kind": SEVERAL[0]}, {"output": "y", "members": 2}),
}
DRAWS = 4


def outputs_of(bnn: yu.Bayesian, x: Any, draws: int = DRAWS, seed: int = 5) -> dict[str, Tensor]:
    p = yu.predict(bnn, x, samples=draws, seed=seed)
    if isinstance(p, yu.NumericPrediction):
        return {"mean": p.mean, "std": p.std, "epistemic": p.epistemic, "aleatoric": p.aleatoric}
    assert isinstance(p, yu.ClassificationPrediction)
    return {"probs": p.probs, "mutual_information": p.mutual_information}


def agree(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-5) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=tolerance, msg=name)


def call(module: nn.Module, x: Any) -> dict[str, Tensor]:
    args, kwargs = as_arguments(x)
    result: dict[str, Tensor] = module(*args, **kwargs)
    return result


# -- in PyTorch


@pytest.mark.parametrize("name", CASES)
def test_the_module_says_what_predict_says(name: str) -> None:
    build, x, options = CASES[name]
    bnn = made(build, x, **options)
    module = export.as_module(bnn, DRAWS, seed=5)
    agree(call(module, x), outputs_of(bnn, x))
    agree(call(module, take_rows(x, torch.tensor([3]))), outputs_of(bnn, take_rows(x, torch.tensor([3]))))
    assert not any(value.requires_grad for value in call(module, x).values())


def test_the_module_says_what_the_networks_of_its_draws_say() -> None:
    x = randn(7, 3)
    bnn = made(mlp, x, likelihood=yu.Gaussian(noise=0.1))
    draws = bnn.draws(DRAWS, seed=5)
    f = torch.stack(
        [torch.func.functional_call(mlp(), {n: w[s] for n, w in draws.items()}, (x,)) for s in range(DRAWS)]
    )
    variance = f.double().var(0, correction=0)
    found = export.as_module(bnn, DRAWS, seed=5)(x)
    torch.testing.assert_close(found["mean"], f.mean(0))
    torch.testing.assert_close(found["std"], (variance + 0.1**2).sqrt().float())


@pytest.mark.parametrize("name", ["learned noise", "classes", "anchored", "several inputs", "keyword inputs"])
def test_the_program_takes_any_number_of_rows(name: str) -> None:
    build, x, options = CASES[name]
    bnn = made(build, x, **options)
    module = export.as_program(bnn, take_rows(x, torch.tensor([0])), DRAWS, seed=5).module()
    for rows in (1, 2, 7):
        some = take_rows(x, torch.arange(rows))
        agree(call(module, some), outputs_of(bnn, some))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_program_takes_any_number_of_rows_for_every_network(name: str) -> None:
    test_the_program_takes_any_number_of_rows(name)


@pytest.mark.filterwarnings(FLAT_WEIGHTS)
@pytest.mark.parametrize("name", ["batch norm and dropout", "lstm", "transformer"])
def test_torch_export_takes_the_module(name: str) -> None:
    build, x, options = CASES[name]
    bnn = made(build, x, **options)
    module = export.as_module(bnn, 2, seed=5)
    program = torch.export.export(module, (x[:3],), dynamic_shapes=({0: torch.export.Dim("rows")},))
    agree(program.module()(x), outputs_of(bnn, x, draws=2))


def test_a_network_of_linear_layers_has_one_graph_for_all_draws() -> None:
    bnn = made(mlp, randn(7, 3))
    sizes = [len(export.as_program(bnn, randn(7, 3), draws).graph.nodes) for draws in (2, 9)]
    assert sizes[0] == sizes[1]


def test_a_quantised_network_is_exported_as_any_other() -> None:
    x = randn(7, 32)
    bnn = quantize(made(lambda: nn.Linear(32, 2), x))
    agree(export.as_program(bnn, x, DRAWS, seed=5).module()(x), outputs_of(bnn, x))


def test_the_module_keeps_what_it_was_made_with() -> None:
    x = randn(7, 3)
    bnn = made(mlp, x).train()
    before = copy.deepcopy(bnn.state_dict())
    module = export.as_module(bnn, DRAWS, seed=5)
    expected = module(x)
    assert bnn.training
    for name, value in bnn.state_dict().items():
        assert torch.equal(value, before[name])
    yu.fit(bnn, (x, randn(7, 2)), epochs=20, seed=0)
    agree(module(x), expected, tolerance=0)
    agree(copy.deepcopy(module)(x), expected, tolerance=0)


def test_an_anchored_member_is_used_once() -> None:
    bnn = made(mlp, randn(7, 3), posterior=yu.posteriors.Anchored(), members=3)
    sizes = {len(buffer) for name, buffer in export.as_module(bnn, draws=32).named_buffers() if "draws_" in name}
    assert sizes == {3}


# -- in onnxruntime


def run(path: Path, x: Any) -> dict[str, Tensor]:
    session = onnxruntime.InferenceSession(path)
    names = [one.name for one in session.get_inputs()]
    if isinstance(x, dict):
        feed = {"mean_input" if name == "mean" else name: value.numpy() for name, value in x.items()}
    else:
        parts = x if isinstance(x, tuple) else (x,)
        feed = {name: part.numpy() for name, part in zip(names, parts, strict=True)}
    outputs = [one.name for one in session.get_outputs()]
    return {name: torch.from_numpy(value) for name, value in zip(outputs, session.run(outputs, feed), strict=True)}


@pytest.mark.parametrize("name", ["learned noise", "classes"])
def test_onnx(name: str, tmp_path: Path) -> None:
    build, x, options = CASES[name]
    bnn = made(build, x, **options)
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")
    yu.export_onnx(bnn, path, take_rows(x, torch.tensor([0])), draws=DRAWS, seed=5)
    onnx.checker.check_model(path, full_check=True)
    for rows in (1, 2, 7):
        some = take_rows(x, torch.arange(rows))
        agree(run(path, some), outputs_of(bnn, some), tolerance=1e-4)
    assert [one.name for one in tmp_path.iterdir()] == ["net.onnx"]


def test_onnx_without_an_example_of_the_input(tmp_path: Path) -> None:
    x = randn(7, 3)
    bnn = yu.bayesianize(mlp(), likelihood=yu.Gaussian(noise=0.1), seed=0)
    with pytest.raises(ValueError, match="has not run yet, so the shape of its input is not known: give x"):
        yu.export_onnx(bnn, tmp_path / "net.onnx", draws=8)
    expected = yu.predict(bnn, x, samples=8, seed=0)
    yu.export_onnx(bnn, tmp_path / "net.onnx", draws=8)
    found = run(tmp_path / "net.onnx", x)
    torch.testing.assert_close(found["mean"], expected.mean, rtol=1e-4, atol=1e-4)  # type: ignore[union-attr]
    torch.testing.assert_close(found["std"], expected.std, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_onnx_for_every_network(name: str, tmp_path: Path) -> None:
    test_onnx(name, tmp_path)


@pytest.mark.slow
def test_onnx_inputs_bear_the_names_of_the_network(tmp_path: Path) -> None:
    bnn = made(Several, SEVERAL, output="y")
    yu.export_onnx(bnn, tmp_path / "net.onnx", SEVERAL, draws=2)
    graph = onnx.load(tmp_path / "net.onnx").graph
    assert [one.name for one in graph.input] == ["kind", "mean_input"]  # "mean" is an output
    assert [one.name for one in graph.output] == ["mean", "std", "epistemic", "aleatoric"]
    for one in [*graph.input, *graph.output]:
        assert one.type.tensor_type.shape.dim[0].dim_param == "rows"


@pytest.mark.slow
def test_onnx_holds_the_draws_and_little_else(tmp_path: Path) -> None:
    bnn = made(lambda: nn.Linear(300, 100), randn(2, 300), members=3)
    yu.export_onnx(bnn, tmp_path / "net.onnx", randn(2, 300), draws=6)
    assert 1 < (tmp_path / "net.onnx").stat().st_size / (6 * 4 * 301 * 100) < 1.05


@pytest.mark.slow
def test_large_constants_go_to_a_second_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_ONE_FILE", 1000)
    x = randn(2, 30)
    bnn = made(lambda: nn.Linear(30, 20), x)
    yu.export_onnx(bnn, tmp_path / "net.onnx", x, draws=6, seed=5)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["net.onnx", "net.onnx.data"]
    agree(run(tmp_path / "net.onnx", x), outputs_of(bnn, x, draws=6), tolerance=1e-4)


# -- what cannot be exported


class Peaked(yu.likelihoods.Likelihood):
    def log_prob(self, output: Tensor, y: Tensor) -> Tensor:
        return self.distribution(output, y).log_prob(y).sum(-1)

    def distribution(self, output: Tensor, member: Tensor) -> Distribution:
        return Laplace(output, 1.0, validate_args=False)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(x)
        return result if bool(result.sum() > 0) else -result


class Unsupported(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = torch.special.bessel_j0(self.head(x))
        return result


def test_what_has_no_prediction_or_is_not_bayesian_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="there is no Prediction for a likelihood whose distribution is Laplace"):
        yu.export_onnx(made(mlp, randn(7, 3), likelihood=Peaked()), tmp_path / "net.onnx", randn(7, 3))
    with pytest.raises(TypeError, match="only a Bayesian network can be exported, got Sequential: see bayesianize"):
        export.as_module(mlp())  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_bad_arguments() -> None:
    bnn = made(mlp, randn(7, 3))
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        export.as_module(bnn, draws=0)
    with pytest.raises(ValueError, match=r"x holds 1 values that are NaN or infinite, the first at \[0, 1\]"):
        export.as_program(bnn, torch.tensor([[0.0, torch.nan, 0.0]]))
    with pytest.raises(ValueError, match="the data are empty"):
        export.as_program(bnn, torch.zeros(0, 3))
    with pytest.raises(TypeError, match="with an input that is 'fast': only tensors"):
        export.as_program(bnn, (randn(7, 3), "fast"))
    with pytest.raises(RuntimeError, match="size for first two dimensions"):
        export.as_program(bnn, randn(7, 4))
    with pytest.raises(ValueError, match=r"mean is \(1, 2\) for 3 rows: the first axis must be the rows"):
        export.as_program(made(lambda: nn.Sequential(mlp(), Mean()), randn(7, 3)), randn(7, 3))


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(0, keepdim=True)


class Blocks(nn.Module):
    """Uses the number of rows as a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(x)
        return result * torch.ones(int(x.shape[0]), 1) if x.shape[0] == 3 else result


@pytest.mark.parametrize("net", [Branching, Blocks])
def test_control_flow_that_cannot_be_traced(net: Callable[[], nn.Module]) -> None:
    with pytest.raises(RuntimeError, match=f"cannot export {net.__name__}: torch.export cannot trace it"):
        export.as_program(made(net, randn(7, 3)), randn(7, 3), draws=2)


@pytest.mark.slow
def test_an_operation_that_onnx_lacks(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="cannot export Unsupported to ONNX"):
        yu.export_onnx(made(Unsupported, randn(7, 3)), tmp_path / "net.onnx", randn(7, 3), draws=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'export_onnx needs the package {package}: pip install "yuragi\[export\]"'):
        yu.export_onnx(made(mlp, randn(7, 3)), tmp_path / "net.onnx", randn(7, 3))


@pytest.mark.slow
def test_importing_yuragi_does_not_import_onnx() -> None:
    code = "import sys, yuragi; sys.exit(any(name.startswith('onnx') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
