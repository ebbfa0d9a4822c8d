"""LeNet-5 on MNIST: accuracy, likelihood, calibration, and whether it knows what is no digit; one row a method.

    pip install "yuragi[sklearn]"
    python benchmarks/mnist.py --data DIR --out mnist.md     # DIR holds MNIST's four idx files, gzipped
    python benchmarks/mnist.py --data DIR --methods all --seconds 300 --out all.md   # every method of yuragi.methods

Targets: accuracy at least 99.2 %, negative log-likelihood at most 0.028 nats, expected calibration error (15 bins of equal
width) at most 0.005, training at most 10 minutes on two cores. Area under the ROC, by mutual information or by entropy,
for telling test digits from inverted ones (1 − x) and from uniform noise at least 0.98, and upright digits from the same
turned by 90° at least 0.93; there zeros, ones and eights are left out, since a quarter turn hardly changes what they are.

Every choice was made on the last 5,000 training images, with training on the others: `--validate` does the same.
"all" is every method of `yuragi.methods`, and the anchored members, on the same network and images without shifts, which not
all of them take, for the same time. What could not be run is listed under the table with the reason.
A method is a function from training data and a seed to a function from images in 0…1 to a prediction: add it to `METHODS`.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

import yuragi as yu
from lenet import lenet, read_mnist, standardised
from machine import made
from yuragi import methods, metrics

EPOCHS, BATCH_SIZE, LR = 8, 128, 5e-3
MEMBERS, DRAWS = 4, 32
KL_WEIGHT = 0.1  # in full, members underfit: nine places of each digit are more data than the digits that are counted
SECONDS = 300.0  # for each method of "all"
HELD_OUT = 5000
MOST_AT_ONCE = 5000
LOOK_ALIKE = torch.tensor([0, 1, 8])


class Training(NamedTuple):
    """What a method may learn from: images [N, 1, 28, 28] in 0…1, labels [N], for how many epochs or seconds, and a seed."""

    x: Tensor
    y: Tensor
    epochs: int
    seed: int
    seconds: float


Predictor = Callable[[Tensor], yu.ClassificationPrediction]
Method = Callable[[Training], Predictor]


class Shifted(Dataset[tuple[Tensor, Tensor]]):
    """Standardised digits, each moved by up to a pixel in both directions, anew every time that it is asked for."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = standardised(F.pad(x, (1, 1, 1, 1))), y

    def __len__(self) -> int:
        """How many digits there are."""
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """A digit [1, 28, 28] and its label."""
        top, left = torch.randint(3, (2,)).tolist()
        return self.x[index, :, top : top + 28, left : left + 28], self.y[index]


# -- methods


def bayesian(training: Training, posterior: yu.posteriors.Posterior, members: int) -> Predictor:
    """A posterior of yuragi's over every weight, under the default prior; the KL counts a tenth."""
    torch.manual_seed(training.seed)
    bnn = yu.bayesianize(lenet(), likelihood=yu.Categorical(), posterior=posterior, members=members, seed=training.seed)
    yu.fit(
        bnn,
        Shifted(training.x, training.y),
        epochs=training.epochs,
        batch_size=BATCH_SIZE,
        lr=LR,
        kl_weight=KL_WEIGHT,
        seed=training.seed,
    )

    def predict(images: Tensor) -> yu.ClassificationPrediction:
        prediction = yu.predict(bnn, standardised(images), samples=DRAWS)
        assert isinstance(prediction, yu.ClassificationPrediction)
        return prediction

    return predict


def anchored(training: Training) -> Predictor:
    """Members by randomised maximum a posteriori, each one draw from the posterior: what yuragi recommends."""
    return bayesian(training, yu.posteriors.Anchored(seed=training.seed), MEMBERS)


def mean_field(training: Training) -> Predictor:
    """Independent Normals."""
    return bayesian(training, yu.posteriors.MeanField(init_scale=0.02), 1)


def deterministic(training: Training) -> Predictor:
    """One network in plain PyTorch."""
    return networks(training, 1)


def ensemble(training: Training) -> Predictor:
    """A deep ensemble in plain PyTorch (Lakshminarayanan et al. 2017), as many networks as `anchored` has members."""
    return networks(training, MEMBERS)


def networks(training: Training, count: int) -> Predictor:
    """Networks trained one after another by maximum likelihood with Adam, as long and at the same rates as `fit` does."""
    torch.manual_seed(training.seed)
    trained = [descend(lenet(), training, lambda net, x, y: F.cross_entropy(net(x), y)) for _ in range(count)]
    return of_passes(lambda x: [net(x) for net in trained])


def bayesian_torch(training: Training) -> Predictor:
    """The peer: mean-field layers of Bayesian-Torch 0.5.0 with its flipout; its KL, averaged in each tensor, over N."""
    from bayesian_torch.models.dnn_to_bnn import dnn_to_bnn, get_kl_loss

    torch.manual_seed(training.seed)
    net = lenet()
    dnn_to_bnn(
        net,
        {
            "prior_mu": 0.0,
            "prior_sigma": 1.0,
            "posterior_mu_init": 0.0,
            "posterior_rho_init": -3.0,
            "type": "Flipout",
            "moped_enable": False,
        },
    )
    descend(net, training, lambda net, x, y: F.cross_entropy(net(x), y) + get_kl_loss(net) / len(training.y))
    return of_passes(lambda x: [net(x) for _ in range(DRAWS)])


def of_yuragi(training: Training, method: str, **settings: Any) -> Predictor:
    """A method of `yuragi.methods` on digits as they are, for a time rather than for a number of epochs."""
    torch.manual_seed(training.seed)
    result = methods.METHODS[method](
        lenet(),
        (standardised(training.x), training.y),
        likelihood=yu.Categorical(),
        seed=training.seed,
        seconds=training.seconds,
        **settings,
    )

    def predict(images: Tensor) -> yu.ClassificationPrediction:
        prediction = result.predict(standardised(images))
        assert isinstance(prediction, yu.ClassificationPrediction)
        return prediction

    return predict


def hmc(training: Training) -> Predictor:
    """Hamiltonian Monte Carlo: each gradient is of all images and all chains at once."""
    if len(training.y) > MOST_AT_ONCE:
        raise ValueError(
            f"each gradient is of all {len(training.y)} images at once, which takes gigabytes for each of its chains: it is "
            f"run on {MOST_AT_ONCE} at most"
        )
    return of_yuragi(training, "hmc", draws=DRAWS // 4)


_STEPS: dict[str, Any] = {"batch_size": BATCH_SIZE, "lr": LR}
_LIBRARY: dict[str, dict[str, Any]] = {
    "deep_gp": {"batch_size": BATCH_SIZE, "draws": DRAWS},
    "ensemble": {**_STEPS, "members": MEMBERS},
    "laplace": {**_STEPS, "draws": DRAWS},
    "last_layer": {**_STEPS, "draws": DRAWS},
    "mc_dropout": {**_STEPS, "draws": DRAWS},
    "sghmc": {"batch_size": BATCH_SIZE, "chains": MEMBERS, "draws": DRAWS // MEMBERS, "steps": 10**5},
    "sgld": {"batch_size": BATCH_SIZE, "chains": MEMBERS, "draws": DRAWS // MEMBERS, "steps": 10**5},
    "svi": {**_STEPS, "posterior": yu.posteriors.MeanField(init_scale=0.02), "draws": DRAWS},
    "swag": {**_STEPS, "draws": DRAWS},
}
"""Where the usual settings are for smaller problems: as many draws and networks as the others have."""

METHODS: dict[str, Method] = {
    "anchored": anchored,
    "mean-field": mean_field,
    "deterministic": deterministic,
    "plain-ensemble": ensemble,
    "bayesian-torch": bayesian_torch,
    "anchored-unshifted": partial(
        of_yuragi, method="svi", posterior=yu.posteriors.Anchored(), members=MEMBERS, draws=DRAWS, **_STEPS
    ),
    **{name: partial(of_yuragi, method=name, **_LIBRARY.get(name, {})) for name in methods.METHODS},
    "hmc": hmc,
}
ALL = ["anchored-unshifted", *methods.METHODS]


def descend(net: nn.Module, training: Training, loss: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> nn.Module:
    """Adam on minibatches, the learning rate falling along half a cosine."""
    loader = torch.utils.data.DataLoader(Shifted(training.x, training.y), BATCH_SIZE, shuffle=True)
    optimizer = torch.optim.Adam(net.parameters(), LR, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.epochs * len(loader))
    for _ in range(training.epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss(net, x, y).backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def of_passes(passes: Callable[[Tensor], Sequence[Tensor]]) -> Predictor:
    """The prediction whose draws are the logits of several passes."""

    @torch.no_grad()
    def predict(images: Tensor) -> yu.ClassificationPrediction:
        parts = [torch.stack(list(passes(x))) for x in standardised(images).split(1000)]
        return yu.ClassificationPrediction(torch.cat(parts, 1))

    return predict


# -- scores


def scores(predict: Predictor, x: Tensor, y: Tensor, seed: int) -> dict[str, float]:
    """Every score of the table from digits in 0…1 [N, 1, 28, 28] and their labels [N]; the seed is that of the noise."""
    turns = ~torch.isin(y, LOOK_ALIKE)
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
    digits, upright = predict(x), predict(x[turns])
    pairs = {
        "inverted": (digits, predict(1 - x)),
        "noise": (digits, predict(noise)),
        "rotated": (upright, predict(x[turns].rot90(1, (2, 3)))),
    }
    result = {
        "accuracy": float((digits.label == y).double().mean()),
        "NLL": -float(digits.log_prob(y).mean()),
        "ECE": metrics.expected_calibration_error(digits.probs, y, bins=15),
    }
    for name, (inside, outside) in pairs.items():
        result[f"{name}, MI"] = metrics.ood_auroc(inside.mutual_information, outside.mutual_information)
        result[f"{name}, entropy"] = metrics.ood_auroc(inside.entropy, outside.entropy)
    return result


TARGETS = {
    "accuracy": "≥ 0.992",
    "NLL": "≤ 0.028",
    "ECE": "≤ 0.005",
    "inverted, MI": "≥ 0.98",
    "inverted, entropy": "or",
    "noise, MI": "≥ 0.98",
    "noise, entropy": "or",
    "rotated, MI": "≥ 0.93",
    "rotated, entropy": "or",
    "CPU s": "",
    "wall s": "≤ 600",
}


def table(rows: dict[str, dict[str, float]]) -> str:
    """A Markdown table, one row a method and the targets last."""
    lines = [["method", *TARGETS], ["---"] + ["---:"] * len(TARGETS)]
    for name, row in rows.items():
        lines.append(
            [name, *(f"{row[column]:.0f}" if column.endswith(" s") else f"{row[column]:.4f}" for column in TARGETS)]
        )
    lines.append(["target", *TARGETS.values()])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def measured(predict: Method, training: Training, test: tuple[Tensor, Tensor]) -> dict[str, float]:
    """A row of the table."""
    start, cpu = time.perf_counter(), time.process_time()
    predictor = predict(training)
    seconds = {"CPU s": time.process_time() - cpu, "wall s": time.perf_counter() - start}
    return {**scores(predictor, *test, training.seed), **seconds}


def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Run the benchmark; returns the scores of each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST")
    parser.add_argument("--methods", nargs="+", choices=["all", *METHODS], default=["anchored"])
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"for each method of yuragi.methods; default: {SECONDS:g}"
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--train", type=int, help="use only so many training images")
    parser.add_argument(
        "--validate", action="store_true", help="hold out the last 5,000 training images, leave the test set"
    )
    parser.add_argument("--out", type=Path, help="write the table there")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    x, y = read_mnist(arguments.data, "train")
    if arguments.validate:
        test = x[-HELD_OUT:], y[-HELD_OUT:]
        x, y = x[:-HELD_OUT], y[:-HELD_OUT]
    else:
        test = read_mnist(arguments.data, "t10k")
    training = Training(x[: arguments.train], y[: arguments.train], arguments.epochs, arguments.seed, arguments.seconds)
    rows, skipped = {}, []
    chosen = dict.fromkeys(one for given in arguments.methods for one in (ALL if given == "all" else [given]))
    for name in chosen:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", yu.ConvergenceWarning)  # the budget is a fixed one
                rows[name] = measured(METHODS[name], training, test)
        except Exception as error:  # of a long run one failure shall not lose the rest
            skipped.append(f"- {name}, left out: {type(error).__name__}: {' '.join(str(error).split())}")
            print(skipped[-1], flush=True)
            continue
        print(name, {column: round(value, 4) for column, value in rows[name].items()}, flush=True)
    text = "\n".join(
        [
            table(rows),
            *(["", *skipped] if skipped else []),
            "",
            f"{len(training.y)} training and {len(test[1])} test images, {arguments.epochs} epochs, or for those of "
            f"yuragi.methods at most {arguments.seconds:g} seconds, seed {arguments.seed}; MI is mutual information; "
            + made(arguments.threads),
        ]
    )
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    return rows


if __name__ == "__main__":
    main()
