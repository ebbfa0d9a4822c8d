"""scikit-learn's own checks, all of them: with settings that are quick, and with the network for tables."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks
from tests.tabular.data import Quick

import yuragi as yu
from yuragi.sklearn import BayesianClassifier, BayesianRegressor

# one member of mean-field is what can learn in batches: partial_fit is checked too
QUICK: dict[str, Any] = {"posterior": "meanfield", "members": 1, "module": Quick, "epochs": 40, "samples": 20}
TABLES: dict[str, Any] = {"members": 3, "epochs": 60}  # the rest is the default: a prior chosen by held-out rows


@pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Can't check dok sparse matrix:UserWarning:sklearn")
@parametrize_with_checks([BayesianRegressor(**QUICK), BayesianClassifier(**QUICK)])  # type: ignore[untyped-decorator]
def test_scikit_learn_is_satisfied(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [BayesianRegressor, BayesianClassifier])
def test_scikit_learn_is_satisfied_with_what_is_chosen_by_default(kind: type[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", yu.ConvergenceWarning)
        results = check_estimator(kind(**TABLES), on_skip=None)
    skipped = {result["check_name"] for result in results if result["status"] == "skipped"}
    assert skipped <= {"check_array_api_input"}  # which scikit-learn runs where SCIPY_ARRAY_API is set
    assert all(result["status"] in ("passed", "skipped") for result in results)
