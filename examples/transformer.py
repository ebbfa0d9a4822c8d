"""A transformer that says when a sequence is longer, or a symbol rarer, than what it was trained on.

    python examples/transformer.py --out transformer.png

The sequences are till receipts. Each symbol is an item with a price that the network must find out; the symbol "double"
doubles the price of the item after it; the target is the total, with noise of 0.2. Training receipts have two to eight
symbols, and each item is three times as rare as the one before; the last is never sold. Receipts of up to sixteen symbols
come later.

Everything is Bayesian: embeddings, attention, feed-forward layers, norms, head. Eight anchored members are used. A single
mean-field posterior, a quarter of the work, had three times the error on five symbols; its uncertainty rose with length,
but not for rare items. The data are made here. Needs about two minutes; more steps would still help, as yuragi warns.
"""

import argparse
from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import yuragi as yu

PAD, DOUBLE, FIRST_ITEM = 0, 1, 2
ITEMS, TRAINED, LONGEST = 9, 8, 16
NOISE = 0.2


class ReceiptReader(nn.Module):
    """A small transformer encoder; the total is the sum of what its head says at each position."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.symbol = nn.Embedding(FIRST_ITEM + ITEMS, width)
        self.position = nn.Embedding(LONGEST, width)
        layer = nn.TransformerEncoderLayer(
            width, nhead=4, dim_feedforward=64, dropout=0, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 1)

    def forward(self, receipt: Tensor) -> Tensor:
        """Symbols [B, L] to totals [B, 1]."""
        padding = receipt == PAD
        hidden = self.symbol(receipt) + self.position.weight[: receipt.shape[1]]
        hidden = self.encoder(hidden, src_key_padding_mask=padding)
        return self.head(hidden).masked_fill(padding.unsqueeze(-1), 0).sum(1)


def receipts(lengths: Tensor, width: int) -> Tensor:
    """Random receipts, padded to `width`; the last item is never on them."""
    often = torch.tensor([3.0**-item for item in range(ITEMS - 1)] + [0.0])
    symbols = torch.multinomial(often, len(lengths) * width, replacement=True).reshape(-1, width) + FIRST_ITEM
    symbols[torch.rand(symbols.shape) < 0.2] = DOUBLE
    symbols[torch.arange(width) >= lengths.unsqueeze(1)] = PAD
    return symbols


def totals(symbols: Tensor, prices: Tensor) -> Tensor:
    """What the receipts come to, [N, 1]."""
    worth = torch.cat([torch.zeros(FIRST_ITEM), prices])[symbols]
    worth[:, 1:] *= 1 + (symbols[:, :-1] == DOUBLE).float()
    return worth.sum(1, keepdim=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train on short receipts, then ask about longer ones and about rare items."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="transformer.png", help="where the figure goes")
    parser.add_argument("--seed", type=int, default=0, help="of the receipts and of the fit")
    parser.add_argument("--quick", action="store_true", help="fewer members and steps: seconds, and worse sums")
    options = parser.parse_args(arguments)

    torch.manual_seed(options.seed)
    prices = torch.linspace(-2, 2, ITEMS)[torch.randperm(ITEMS)]  # some are refunds
    x = receipts(torch.randint(2, TRAINED + 1, (2000,)), TRAINED)
    y = totals(x, prices) + NOISE * torch.randn(len(x), 1)

    bnn = yu.bayesianize(
        ReceiptReader(),
        likelihood=yu.Gaussian(noise=NOISE),
        posterior=yu.posteriors.Anchored(),
        members=3 if options.quick else 8,
        seed=options.seed,
    )
    yu.fit(bnn, (x, y), epochs=6 if options.quick else 80, lr=0.005, seed=options.seed)
    print(str(bnn.coverage()).splitlines()[-1])

    def ask(title: str, questions: dict[str, Tensor]) -> tuple[list[float], list[float]]:
        print(f"\n{title:32}{'epistemic std':>14}{'RMSE':>8}")
        spreads, errors = [], []
        for name, symbols in questions.items():
            p = yu.predict(bnn, symbols)
            spreads.append(float(p.epistemic.square().mean().sqrt()))
            errors.append(yu.metrics.rmse(p.mean, totals(symbols, prices)))
            print(f"{name:32}{spreads[-1]:14.2f}{errors[-1]:8.2f}")
        return spreads, errors

    lengths = list(range(2, LONGEST + 1))
    longer = {f"{length} symbols": receipts(torch.full((300,), length), LONGEST) for length in lengths}
    by_length = ask(f"length (trained on 2 to {TRAINED})", longer)

    seen = [int((x == FIRST_ITEM + item).sum()) for item in range(ITEMS)]
    symbols, third = receipts(torch.full((300,), 5), TRAINED), torch.tensor(2)
    rarer = {}
    for item in range(ITEMS):  # the same receipts, but for the third symbol
        rarer[f"item {item}, seen {seen[item]} times"] = symbols.clone().index_fill_(1, third, FIRST_ITEM + item)
    by_item = ask("third of five symbols", rarer)

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.axvspan(2, TRAINED, color="#009E73", alpha=0.12, lw=0, label="lengths trained on")
    for ax, at, (spreads, errors) in ((left, lengths, by_length), (right, list(range(ITEMS)), by_item)):
        ax.plot(at, spreads, "o-", color="#D55E00", ms=4, label="epistemic standard deviation")
        ax.plot(at, errors, "s:", color="black", ms=4, label="error (root mean square)")
        ax.set(ylabel="units of price", ylim=(0, None))
        ax.grid(alpha=0.25)
        ax.legend(fontsize="small", loc="upper left")
    left.set(title="Longer than in training", xlabel="symbols on the receipt")
    right.set(title="Rarer in training (receipts of 5 symbols)", xlabel="times that the item was seen in training")
    right.set_xticks(range(ITEMS), [str(times) for times in seen])
    figure.savefig(options.out, dpi=120)
    print(f"figure: {options.out}")


if __name__ == "__main__":
    main()
