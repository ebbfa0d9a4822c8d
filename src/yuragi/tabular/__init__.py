"""Numbers in, a `Prediction` in the target's units out: what tables, scikit-learn's estimators and the command line share."""

from yuragi.tabular.fitting import fit_streamed, fit_tabular, update_tabular
from yuragi.tabular.model import TabularModel, load_tabular, restored
from yuragi.tabular.rows import Rows, Units
from yuragi.tabular.settings import MakeModule, Noise, Posterior, Task

__all__ = [
    "MakeModule",
    "Noise",
    "Posterior",
    "Rows",
    "TabularModel",
    "Task",
    "Units",
    "fit_streamed",
    "fit_tabular",
    "load_tabular",
    "restored",
    "update_tabular",
]
