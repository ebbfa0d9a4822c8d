"""The table of scores."""

from __future__ import annotations

from yuragi.report.texts.text import Text

TEXTS: dict[str, Text] = {
    "scores.title": Text("The numbers", "評価の数値"),
    "scores.says": Text(
        "Scores of the {rows} whose true value is known.",
        "実際の値がわかっている{rows}についての評価です。",
    ),
    "scores.name": Text("Score", "指標"),
    "scores.value": Text("Value", "値"),
    "scores.meaning": Text("What it means", "意味"),
    "score.rmse": Text("Root mean squared error", "二乗平均平方根誤差（RMSE）"),
    "score.rmse.says": Text("typical size of an error; smaller is better", "誤差の典型的な大きさ。小さいほど良い"),
    "score.baseline": Text("… of the average of this table", "… 常に平均値を答えた場合"),
    "score.baseline.says": Text(
        "what a model must beat to be of any use",
        "モデルがこれより良くなければ、使う意味がない",
    ),
    "score.log": Text("Mean log-likelihood (nats)", "平均対数尤度（nat）"),
    "score.log.says": Text(
        "how much probability the model gave to what came true; larger is better",
        "実際の値にどれだけの確率を与えていたか。大きいほど良い",
    ),
    "score.area": Text("Calibration error", "較正誤差（キャリブレーション誤差）"),
    "score.area.says": Text(
        "0 is perfect; {chance} is usual by chance with so many rows, and 0.5 the worst",
        "0が理想。この行数では偶然だけでも{chance}程度になり、最悪は0.5",
    ),
    "score.sharpness": Text("Typical standard deviation", "典型的な標準偏差"),
    "score.sharpness.says": Text(
        "root mean square of the predicted std; should be close to the root mean squared error",
        "予測した標準偏差の二乗平均平方根。RMSEに近いのが望ましい",
    ),
    "score.coverage": Text("Inside the {level} interval", "{level}区間に入った割合"),
    "score.coverage.says": Text("should be {level}", "{level}が望ましい"),
    "score.accuracy": Text("Accuracy", "正解率"),
    "score.accuracy.says": Text("share of answers that are right", "答えが正解だった割合"),
    "score.frequent": Text("… of the most frequent class", "… 常に最も多いクラスを答えた場合"),
    "score.brier": Text("Brier score", "ブライアスコア"),
    "score.brier.says": Text(
        "squared distance from the probabilities to the truth, from 0 to 2; smaller is better",
        "確率と実際の結果との二乗距離（0〜2）。小さいほど良い",
    ),
    "score.ece": Text("Expected calibration error", "期待較正誤差（ECE）"),
    "score.ece.says": Text(
        "mean gap between how sure the model is and how often it is right; smaller is better",
        "確信度と正解率の平均的なずれ。小さいほど良い",
    ),
    "score.aurc": Text("Area under the risk–coverage curve", "リスク–カバレッジ曲線の面積"),
    "score.aurc.says": Text(
        "mean share of errors when only the surest answers are used; smaller is better",
        "確信度の高い答えだけを使ったときの平均誤答率。小さいほど良い",
    ),
}
