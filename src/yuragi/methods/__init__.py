"""Other ways to a posterior, all ending in a `Prediction`, so that whatever comes after does not know which one it was.

One file is one method, and each file has the same names in the same order:

    Result          what the method found, with
        .network        a `Bayesian` network that `yuragi.predict`, `yuragi.save` and the exports take; a method that
                        has no posterior of a network's weights has none, and says so in `Result`: it cannot be saved
        .predict(x)     `Prediction` from all that was found; x as for `yuragi.predict`
        print(result)   whether to trust it: what the method itself can tell
    run(net, data, *, likelihood=None, prior=None, seed=0, seconds=None, progress=None, **settings) -> Result

`net` is an ordinary module, which is left as it is; `data`, `likelihood` and `prior` are as for `bayesianize` and `fit`,
with the same defaults, but that a method which is defined without a prior has none when None; the same seed gives the same
result, and the global random state is left alone. Settings that are a method's own have defaults and are given by keyword.

`seconds` is a budget: the method's epochs, steps or draws are then the most that is done, and its schedule, such as a
learning rate that falls, fits itself into the time, so that the result depends on the machine. Parts of a method share the
time: the search for a mode and what comes after it, the warm-up of chains and their draws. What cannot be cut short is done
in any case and comes on top: one step of each part, the fewest draws that can be compared, a matrix of curvatures, the draws
that a `network` is made of. `progress` is called some ten times a second with the fraction that is done; a true return value
ends the method as the end of its time would, with what it has found until then.

A likelihood, prior or network that a method cannot handle is a ValueError that names it and says why.
`METHODS` lists them all by name, and `tests/methods/test_protocol.py` holds every one to this page; those that claim the
exact posterior of a linear model to that, and the others have a known answer of their own in their tests.
"""

from collections.abc import Callable
from typing import Any

from yuragi.methods import (
    collapsed,
    deep_gp,
    ensemble,
    hmc,
    laplace,
    last_layer,
    mc_dropout,
    quantile,
    sghmc,
    sgld,
    svi,
    swag,
)

METHODS: dict[str, Callable[..., Any]] = {
    "collapsed": collapsed.run,
    "deep_gp": deep_gp.run,
    "ensemble": ensemble.run,
    "hmc": hmc.run,
    "laplace": laplace.run,
    "last_layer": last_layer.run,
    "mc_dropout": mc_dropout.run,
    "quantile": quantile.run,
    "sghmc": sghmc.run,
    "sgld": sgld.run,
    "svi": svi.run,
    "swag": swag.run,
}
"""Each method's `run`, by the name of its file."""

__all__ = [
    "METHODS",
    "collapsed",
    "deep_gp",
    "ensemble",
    "hmc",
    "laplace",
    "last_layer",
    "mc_dropout",
    "quantile",
    "sghmc",
    "sgld",
    "svi",
    "swag",
]
