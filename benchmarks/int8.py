"""What int8 costs a mean-field LeNet on MNIST: accuracy, mean predictive entropy and file size beside float32's.

    python benchmarks/int8.py --data DIR      # DIR holds MNIST's four idx files, gzipped

Targets: accuracy within 0.2 points, mean predictive entropy within 5 %, file at most 0.3 of float32's. The time of a
prediction is printed as well: int8 is not meant to be faster, and pays one pass over the weights.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

import yuragi as yu
from lenet import lenet, read_mnist, standardised


def measure(bnn: yu.Bayesian, test: tuple[Tensor, Tensor], draws: int, folder: Path) -> tuple[float, float, int]:
    """Print and return accuracy, mean predictive entropy in nats, and size of the file in bytes."""
    name = type(bnn).__name__
    start = time.perf_counter()
    prediction = yu.predict(bnn, test[0], samples=draws)
    seconds = time.perf_counter() - start
    assert isinstance(prediction, yu.ClassificationPrediction)
    accuracy = float((prediction.label == test[1]).double().mean())
    entropy = float(prediction.entropy.mean())
    yu.save(bnn, folder / name)
    size = (folder / name).stat().st_size
    information = float(prediction.mutual_information.mean())
    print(
        f"{name:10} accuracy {accuracy:.4f}  entropy {entropy:.5f}  mutual information {information:.5f}  "
        f"log-likelihood {float(prediction.log_prob(test[1]).mean()):.5f}  {size} bytes  {seconds:.1f} s",
        flush=True,
    )
    return accuracy, entropy, size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--draws", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save", type=Path, help="keep the float network there")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    bnn = yu.bayesianize(lenet(), likelihood=yu.Categorical(), seed=0)
    start = time.perf_counter()
    images, labels = read_mnist(arguments.data, "train")
    yu.fit(bnn, (standardised(images), labels), epochs=arguments.epochs, batch_size=128, seed=0)
    print(f"trained for {arguments.epochs} epochs in {time.perf_counter() - start:.0f} s", flush=True)
    if arguments.save:
        yu.save(bnn, arguments.save)
    images, labels = read_mnist(arguments.data, "t10k")
    test = standardised(images), labels
    with tempfile.TemporaryDirectory() as folder:
        accuracy, entropy, size = measure(bnn, test, arguments.draws, Path(folder))
        small = measure(yu.quantization.quantize(bnn), test, arguments.draws, Path(folder))
    print(
        f"accuracy {100 * (small[0] - accuracy):+.2f} points (target ±0.2), entropy {100 * (small[1] / entropy - 1):+.2f} % "
        f"(target ±5 %), file {small[2] / size:.3f} of float32's (target 0.3)"
    )


if __name__ == "__main__":
    main()
