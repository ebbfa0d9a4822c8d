"""Recalibration: fitted on held-out data, then applied to other predictions of the same network.

    calibrator = StdScaling.fit(prediction_of_held_out, y_held_out)
    calibrated = calibrator(prediction)

| calibrator | of | gives |
|---|---|---|
| `StdScaling` | numbers | the same kind of prediction, its whole spread times one factor an output |
| `IsotonicQuantiles` | continuous numbers | quantiles, intervals and distribution function, bent to the shares observed |
| `SplitConformal` | numbers | intervals of one width, with guaranteed coverage |
| `NormalisedConformal` | numbers | intervals as wide as the predicted std says, with guaranteed coverage |
| `TemperatureScaling` | classes | the same kind of prediction, its logits divided by one temperature |
| `ConformalSets` | classes | sets of labels, with guaranteed coverage |

Held-out data are data that took part in nothing before: not in training, not in early stopping.
"""

from yuragi.calibration.calibrator import Calibrator
from yuragi.calibration.conformal import ConformalPrediction, NormalisedConformal, SplitConformal
from yuragi.calibration.label_sets import ConformalSets, LabelSets
from yuragi.calibration.quantiles import IsotonicQuantiles, RecalibratedQuantiles
from yuragi.calibration.scaling import StdScaling, TemperatureScaling

__all__ = [
    "Calibrator",
    "ConformalPrediction",
    "ConformalSets",
    "IsotonicQuantiles",
    "LabelSets",
    "NormalisedConformal",
    "RecalibratedQuantiles",
    "SplitConformal",
    "StdScaling",
    "TemperatureScaling",
]
