"""Methods side by side: the same splits, network, noise and time, and whether one is better than the next.

    print(yuragi.compare(net, (x, y), budget=10))

| file | what it is about |
|---|---|
| `splits` | which rows are trained on, which are scored, and the gap |
| `trial`, `cost` | one method in one split; seconds and memory |
| `scores` | what is scored |
| `paired` | whether a difference is larger than its error |
| `result`, `text`, `picture` | `Comparison`, and how it is shown |
| `running` | `compare` |
"""

from yuragi.comparison.result import Comparison
from yuragi.comparison.running import compare
from yuragi.comparison.splits import folds, random_splits

__all__ = ["Comparison", "compare", "folds", "random_splits"]
