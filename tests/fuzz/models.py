"""Valid model files, and damage inside them: with the checksum made right again it meets the parser behind it."""

from __future__ import annotations

import atexit
import contextlib
import copy
import functools
import io
import json
import random
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.corpus import Sample, tables
from tests.fuzz.mutations import mutated
from tests.made_up_tables import model_file, table
from torch import nn

import yuragi as yu
from yuragi import cli
from yuragi.container import with_checksum
from yuragi.tables import load_table_model

Node = tuple[Any, Any]  # a list or dict, and a key of it
_VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 17, 2**31, 2**63, 10**400),
    *(0.0, -0.5, 1e-320, 1e308, float("nan"), float("inf"), float("-inf")),
    *("", "x", "あ", "%Y%Y", "Anchored", "FullCovariance", "a" * 1000),
    *([], {}, [[]], [1, [2]], {"kind": "Normal", "arguments": {}}),
    json.loads("[" * 60 + "]" * 60),
    [place / 10 for place in range(101)],
)


def changed(value: Any, rng: random.Random) -> Any:
    """A copy of something that JSON can hold, with one to four of its nodes changed."""
    whole = [copy.deepcopy(value)]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        nodes = list(_nodes(whole))
        holder, key = rng.choice(nodes)
        other, other_key = rng.choice(nodes)
        action = rng.randrange(7)
        if action <= 2:
            holder[key] = copy.deepcopy(rng.choice(_VALUES))
        elif action == 3:
            holder[key] = copy.deepcopy(other[other_key])
        elif action == 4 and holder is not whole:
            del holder[key]
        elif action == 5 and isinstance(holder, dict):
            holder[rng.choice(("x", "kind", "tensor", "mapping", "name"))] = holder.pop(key)
        elif isinstance(holder[key], float):
            holder[key] *= rng.choice((-1, 0, 1e-30, 1e30, 1e300))
        elif isinstance(holder[key], int):
            holder[key] += rng.choice((-1, 1, 7, 1 << 20))
        elif isinstance(holder[key], list):
            holder[key] = rng.sample(holder[key], len(holder[key])) * rng.choice((1, 2))
    return whole[0]


def _nodes(value: Any) -> list[Node]:
    keys = range(len(value)) if isinstance(value, list) else list(value) if isinstance(value, dict) else ()
    return [node for key in keys for node in [(value, key), *_nodes(value[key])]]


def _whole(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    return mutated(data, rng, others)


def _summed(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    return with_checksum(mutated(data, rng, others))


def _tensors(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    # what follows the header, so that the tensors keep their places
    start = 8 + int.from_bytes(data[:8], "little")
    body = mutated(data[start:], rng, others)[: len(data) - start]
    return with_checksum(data[:start] + body + data[start + len(body) :])


def _described(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__")
    if rng.random() < 0.15:
        header = changed(header, rng)
    else:
        contents = json.loads(metadata["yuragi"])
        checksum = contents.pop("sha256")
        contents = changed(contents, rng)
        if isinstance(contents, dict):
            contents = {"sha256": checksum, **contents}
        metadata["yuragi"] = json.dumps(contents)
    if not isinstance(header, dict):
        return _packed(header, data[start:])
    return _packed({"__metadata__": metadata, **header}, data[start:])


def _packed(header: Any, body: bytes) -> bytes:
    text = json.dumps(header, ensure_ascii=False).encode("utf-8", "replace")
    text += b" " * (-len(text) % 8)
    return with_checksum(len(text).to_bytes(8, "little") + text + body)


WAYS = (_whole, _summed, _tensors, _described, _described, _described)


def models() -> list[Sample]:
    """Models of tables: a regression and a classification."""
    return [Sample(f"{target}.yuragi", model_file(target), WAYS) for target in ("price", "kind")]


def networks() -> list[Sample]:
    """Networks with every posterior, and priors and likelihoods of several kinds."""
    kinds: dict[str, dict[str, Any]] = {
        "mean field": {"members": 2, "prior": yu.priors.PerLayer({"0": yu.priors.Laplace()})},
        "anchored": {"members": 3, "posterior": yu.posteriors.Anchored(0), "likelihood": yu.Gaussian(0.1)},
        "low rank": {"posterior": yu.posteriors.LowRank(2), "likelihood": yu.likelihoods.StudentT()},
        "full": {"posterior": yu.posteriors.FullCovariance(), "prior": yu.priors.ScaleMixture()},
        "layers": {
            "posterior": yu.posteriors.PerLayer({"2": yu.posteriors.LowRank(1)}),
            "likelihood": yu.Categorical(),
        },
    }
    samples = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net"
        for name, settings in kinds.items():
            bnn = yu.bayesianize(network(), seed=0, **settings)
            yu.save(yu.quantization.quantize(bnn) if name == "mean field" else bnn, path)
            samples.append(Sample(name, path.read_bytes(), WAYS))
    return samples


def network() -> nn.Module:
    """The architecture of `networks`."""
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def use_model(data: bytes) -> None:
    """Load the model of a table, predict with it, and score it."""
    path = folder() / "m.yuragi"
    path.write_bytes(data)
    model = load_table_model(path)
    model.predict_table(table(3, seed=1).drop(columns=["price", "kind"]))
    model.schema.notes(table(3, seed=1))


def use_network(data: bytes) -> None:
    """Load a network."""
    path = folder() / "n.yuragi"
    path.write_bytes(data)
    yu.load(path, network(), output=nn.Identity())  # which a file may say is needed


def commands() -> list[Sample]:
    """Tables and models."""
    return [*tables(), *models()]


def use_commands(data: bytes) -> None:
    """Use a file as a model and as a table in every command that takes one: exit code 0 or 1, and no file from a failure."""
    here = folder()
    given, model, good = here / "given", here / "good.yuragi", here / "good.csv"
    given.write_bytes(data)
    model.write_bytes(model_file("price"))
    table(5, seed=1).to_csv(good, index=False)
    quick = ("--posterior", "anchored", "--members", "1", "--epochs", "1")
    for arguments in (
        ("info", given),
        ("predict", given, good),
        ("evaluate", given, good, "--json"),
        ("predict", model, given),
        ("fit", given, "--target", "target", *quick),
    ):
        output = here / "output.csv"
        output.unlink(missing_ok=True)
        words = [str(argument) for argument in arguments]
        code, printed = run([*words, "-o", str(output)] if words[0] in ("predict", "fit") else words)
        assert code in (0, 1), f"{words} ended with {code}: {printed}"
        assert "Traceback" not in printed, printed
        assert output.exists() == (code == 0 and words[0] in ("predict", "fit")), printed
        left = {path.name for path in here.iterdir()} - {
            "given",
            "good.yuragi",
            "good.csv",
            "output.csv",
            "m.yuragi",
            "n.yuragi",
        }
        assert not left, f"{words} left {left}"


def run(words: list[str]) -> tuple[int, str]:
    """The exit code of a command, and what it printed."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(words)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    printed = b""
    for stream in (out, err):
        stream.flush()
        stream.buffer.seek(0)
        printed += stream.buffer.read()
    return code, printed.decode("utf-8", "replace")


@functools.cache
def folder() -> Path:
    """Where damaged files are put; gone with the process."""
    made = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, made)
    return made
