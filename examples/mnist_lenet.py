"""A Bayesian LeNet-5 on MNIST, and digits rotated out of the distribution that it has seen.

    python examples/mnist_lenet.py --data DIR

As digits turn, accuracy falls; predictive entropy and mutual information say so. The figure turns one digit.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import torch
from torch import Tensor

import mnist
import yuragi as yu

ANGLES = (0, 15, 30, 45, 60, 75, 90)
LOOK_ALIKE = torch.tensor([0, 1, 8])  # a quarter turn leaves a 0 or an 8 a digit's shape, and a 1 a bar


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Run the example; returns the accuracy on upright digits and the AUROC of both measures."""
    args = mnist.arguments("LeNet-5 on MNIST with rotated digits", "mnist_lenet.png").parse_args(argv)
    train, test, epochs = (200, 100, 1) if args.quick else (20_000, 2_000, 6)
    bnn = mnist.bayesian_lenet5(args.seed)
    mnist.train(bnn, *mnist.load(args.data, "train", train), epochs, args.seed)

    x, y = mnist.load(args.data, "t10k", test)
    turned = {angle: yu.predict(bnn, mnist.rotate(x, angle), samples=20) for angle in ANGLES}
    print("rotation   accuracy, %   entropy, nats   mutual information, nats   variation ratio")
    for angle, p in turned.items():
        accuracy = 100 * float((p.label == y).double().mean())
        entropy, information, ratio = (float(m.mean()) for m in (p.entropy, p.mutual_information, p.variation_ratio))
        print(f"{angle:>3}°       {accuracy:<14.1f}{entropy:<16.3f}{information:<27.3f}{ratio:.3f}")

    turns = ~torch.isin(y, LOOK_ALIKE)
    result = {"accuracy": float((turned[0].label == y).double().mean())}
    print("telling upright digits from those turned by 90° (without 0, 1 and 8), AUROC:")
    for name in ("entropy", "mutual_information"):
        upright, away = (getattr(turned[angle], name)[turns] for angle in (0, 90))
        result[name] = mnist.auroc(upright, away)
        print(f"  by {name.replace('_', ' ')}: {result[name]:.3f}")
    draw(bnn, x[turns][0], args.out)
    return result


def draw(bnn: yu.Bayesian, digit: Tensor, path: object) -> None:
    """One digit turning, with its class probabilities and its uncertainty."""
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    angles = list(range(0, 181, 10))
    images = torch.cat([mnist.rotate(digit.unsqueeze(0), angle) for angle in angles])
    p = yu.predict(bnn, images)
    probs, spread = p.probs.numpy(), p.epistemic.numpy()
    figure = plt.figure(figsize=(9, 5.5), layout="constrained")
    grid = figure.add_gridspec(3, 10, height_ratios=(0.5, 1, 1))
    for column, image in enumerate(images[::2, 0]):
        ax = figure.add_subplot(grid[0, column])
        ax.imshow(image.numpy(), cmap="gray_r")
        ax.axis("off")
        ax.set_title(f"{angles[2 * column]}°", fontsize="small")
    top = figure.add_subplot(grid[1, :])
    for label in range(10):
        low, high = (probs[:, label] + sign * spread[:, label] for sign in (-1, 1))
        top.plot(angles, probs[:, label], color=f"C{label}", label=str(label))
        top.fill_between(angles, low.clip(0), high.clip(max=1), color=f"C{label}", alpha=0.15, lw=0)
    top.set(ylabel="probability ± epistemic", ylim=(-0.05, 1.3))  # room for the legend
    top.legend(ncol=10, fontsize="x-small", loc="upper center")
    bottom = figure.add_subplot(grid[2, :], sharex=top)
    for name in ("entropy", "mutual_information", "variation_ratio"):
        bottom.plot(angles, getattr(p, name).numpy(), label=name.replace("_", " "))
    bottom.set(xlabel="rotation, degrees", ylabel="uncertainty (nats; ratio)")
    bottom.legend(fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
