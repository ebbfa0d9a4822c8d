"""Numbers in, a `Prediction` in the target's units out: what tables, scikit-learn's estimators and the command line share."""

from yuragi.tabular.fitting import fit_tabular, update_tabular
from yuragi.tabular.model import TabularModel, load_tabular
from yuragi.tabular.settings import MakeModule, Noise, Posterior, Task

__all__ = [
    "MakeModule",
    "Noise",
    "Posterior",
    "TabularModel",
    "Task",
    "fit_tabular",
    "load_tabular",
    "update_tabular",
]
