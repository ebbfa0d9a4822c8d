"""Methods side by side."""

from __future__ import annotations

from yuragi.report.texts.text import Text

TEXTS: dict[str, Text] = {
    "section.methods": Text("Which method predicts best?", "どの手法の予測が最も良いか"),
    "methods.says": Text(
        "{methods} methods with the same network and noise were fitted to {trained} and scored on {scored} that they had "
        "not seen, {splits} times. The model of this report is none of them: it has settings of its own.",
        "同じネットワークとノイズを使う{methods}種類の手法を、{trained}で学習し、別の{scored}で評価する作業を"
        "{splits}回繰り返しました。このレポートのモデルは別の設定で学習したもので、この中には含まれません。",
    ),
    "methods.budget": Text("Each fit had {seconds} seconds.", "1回の学習時間は{seconds}秒です。"),
    "methods.clear": Text(
        "By log-likelihood {method} is the best: it leads each other one by more than two standard errors of their "
        "difference.",
        "対数尤度では{method}が最良で、ほかのどの手法に対しても、差がその標準誤差の2倍を超えています。",
    ),
    "methods.open": Text(
        "By log-likelihood no method leads each other one by more than two standard errors of their difference: "
        "these splits do not tell which is the best.",
        "対数尤度では、ほかのすべての手法に標準誤差の2倍を超える差をつけた手法はありません。"
        "この評価からは、どれが最良かは判断できません。",
    ),
    "methods.title": Text("Log-likelihood of each method", "手法ごとの対数尤度"),
    "methods.figure.says": Text(
        "A dot is the mean over splits; further to the right is better. The bar is two standard errors of the "
        "difference to the best: where it reaches the dashed line, the two cannot be told apart.",
        "点は全分割の平均で、右にあるほど良い結果です。バーは最良の手法との差の標準誤差の2倍を表し、"
        "破線に届いていれば、その手法と最良の手法に優劣はつけられません。",
    ),
    "methods.alt": Text("Mean log-likelihood of each method: {pairs}.", "手法ごとの平均対数尤度：{pairs}。"),
    "methods.group.scores": Text("Scores", "評価の数値"),
    "methods.group.scores.says": Text(
        "Means over splits; in brackets the difference to the best mean and its standard error. ★ leads each other "
        "method by more than two of them.",
        "全分割の平均。かっこ内は最良の平均との差とその標準誤差。★はほかのすべての手法との差が標準誤差の2倍を超えることを示します。",
    ),
    "methods.group.calibration": Text("Calibration", "較正（キャリブレーション）"),
    "methods.group.calibration.says": Text(
        "How honest the error bars or probabilities are.",
        "エラーバーや確率がどれだけ正直かを示します。",
    ),
    "methods.group.gap": Text("In a gap of the data", "データの空白での予測"),
    "methods.group.gap.says": Text(
        "Fitted without the middle of the rows, and scored there. What a method does not know should be more there "
        "than where it has data.",
        "中央の行を除いて学習し、その部分で評価しました。データのない部分では、知識不足による不確かさが"
        "データのある部分より大きくなるはずです。",
    ),
    "methods.group.cost": Text("Cost", "コスト"),
    "methods.group.cost.says": Text(
        "Of one fit and of one prediction of the rows scored.",
        "1回の学習と、評価する行の1回の予測にかかったものです。",
    ),
    "methods.skipped": Text("Not run", "実行しなかった手法"),
    "methods.warned": Text("Not converged", "収束しなかった手法"),
    "methods.method": Text("Method", "手法"),
    "methods.reason": Text("Reason", "理由"),
    "methods.fits": Text("Fits", "学習回数"),
    "methods.warning": Text("First warning", "最初の警告"),
    "methods.value": Text("{mean} ({difference} ± {error})", "{mean}（{difference} ± {error}）"),
    "methods.value.alone": Text("{mean} ({difference})", "{mean}（{difference}）"),
    "methods.score.accuracy": Text("Accuracy", "正解率"),
    "methods.score.log_likelihood": Text("Log-likelihood (nats)", "対数尤度（nat）"),
    "methods.score.crps": Text("CRPS", "CRPS"),
    "methods.score.rmse": Text("RMSE", "RMSE"),
    "methods.score.brier": Text("Brier score", "ブライアスコア"),
    "methods.score.calibration_error": Text("Calibration error", "較正誤差"),
    "methods.score.coverage_50": Text("In 50 % interval", "50%区間に入った割合"),
    "methods.score.coverage_90": Text("In 90 % interval", "90%区間に入った割合"),
    "methods.score.coverage_95": Text("In 95 % interval", "95%区間に入った割合"),
    "methods.score.width_50": Text("50 % width", "50%区間の幅"),
    "methods.score.width_90": Text("90 % width", "90%区間の幅"),
    "methods.score.width_95": Text("95 % width", "95%区間の幅"),
    "methods.score.gap_log_likelihood": Text("Log-likelihood (nats)", "対数尤度（nat）"),
    "methods.score.gap_coverage_90": Text("In 90 % interval", "90%区間に入った割合"),
    "methods.score.gap_ratio": Text(
        "Epistemic std, as a multiple of that in the data",
        "知識不足による標準偏差（データのある部分に対する倍率）",
    ),
    "methods.score.fit_seconds": Text("Fit (seconds)", "学習（秒）"),
    "methods.score.predict_seconds": Text("Prediction (seconds)", "予測（秒）"),
    "methods.score.memory": Text("Memory (MiB)", "メモリ（MiB）"),
}
