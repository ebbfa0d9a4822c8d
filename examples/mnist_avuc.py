"""Calibration training: LeNet-5 with and without the accuracy-versus-uncertainty penalty, on digits that rotate.

    python examples/mnist_avuc.py --data DIR

One mean-field network is trained for two epochs, and two copies of it for six more: one as before, and one with the
penalty, whose threshold is found on 2,000 held-out digits. Neither has seen a rotated digit. With it the calibration error
from 45° on is lower; it is a point or two higher up to 15°, where there was little to gain, and accuracy between 30° and 45°
is about two points lower. A larger --weight moves all of these further.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import matplotlib
import torch
from torch import Tensor

import mnist
import yuragi as yu
from yuragi.penalties import AccuracyVersusUncertainty

ANGLES = (0, 15, 30, 45, 60, 75, 90)
WEIGHT = 0.3


def main(argv: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Run the example; returns accuracy, calibration error and negative log-likelihood of both, each [angles, 3]."""
    options = mnist.arguments("Calibration training on MNIST", "mnist_avuc.png")
    options.add_argument("--weight", type=float, default=WEIGHT, help="of the penalty (default: %(default)s)")
    args = options.parse_args(argv)
    held_out, train, test, first, more = (100, 200, 100, 1, 1) if args.quick else (2_000, 10_000, 2_000, 2, 6)
    x, y = mnist.load(args.data, "train", train + held_out)
    plain = mnist.bayesian_lenet5(args.seed)
    mnist.train(plain, x[:train], y[:train], first, args.seed)
    calibrated = copy.deepcopy(plain)
    penalty = AccuracyVersusUncertainty.from_prediction(
        yu.predict(plain, x[train:], samples=20), y[train:], weight=args.weight
    )
    print(f"threshold {penalty.threshold:.3f} nats of predictive entropy, penalty weight {penalty.weight}")
    mnist.train(plain, x[:train], y[:train], more, args.seed)
    mnist.train(calibrated, x[:train], y[:train], more, args.seed, penalty)

    x, y = mnist.load(args.data, "t10k", test)
    results = {name: scores(bnn, x, y) for name, bnn in (("without", plain), ("with", calibrated))}
    print(f"{'':11}{'accuracy, %':20}{'ECE, %':20}NLL, nats")
    print(f"{'rotation':11}" + (3 * f"{'without':10}{'with':10}").rstrip())
    for angle, plain_row, row in zip(ANGLES, results["without"].tolist(), results["with"].tolist(), strict=True):
        cells = zip((100, 100, 1), plain_row, row, strict=True)
        print(f"{angle:>3}°       " + "".join(f"{unit * one:<10.2f}{unit * two:<10.2f}" for unit, one, two in cells))
    draw(results, args.out)
    return results


def scores(bnn: yu.Bayesian, x: Tensor, y: Tensor) -> Tensor:
    """Accuracy, expected calibration error and negative log-likelihood at each angle, [angles, 3]."""
    rows = []
    for angle in ANGLES:
        p = yu.predict(bnn, mnist.rotate(x, angle), samples=20)
        accuracy = float((p.label == y).double().mean())
        rows.append([accuracy, yu.metrics.expected_calibration_error(p.probs, y), -float(p.log_prob(y).mean())])
    return torch.tensor(rows)


def draw(results: dict[str, Tensor], path: object) -> None:
    """The three scores against the angle."""
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    for ax, score, title in zip(axes, range(3), ("accuracy", "expected calibration error", "NLL, nats"), strict=True):
        for (name, rows), style in zip(results.items(), ("o--", "o-"), strict=True):
            ax.plot(ANGLES, rows[:, score].numpy(), style, label=f"{name} the penalty")
        ax.set(title=title, xlabel="rotation, degrees", xticks=ANGLES)
        ax.grid(alpha=0.25)
    axes[0].legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
