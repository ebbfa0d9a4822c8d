"""What was done."""

from __future__ import annotations

from yuragi.report.texts.text import Text

TEXTS: dict[str, Text] = {
    "section.done": Text("What was done", "実施した内容"),
    "done.model": Text("The model", "モデル"),
    "done.this": Text("This report", "このレポート"),
    "done.settings": Text("How it was fitted", "学習の設定"),
    "done.candidates": Text("Chosen by held-out data", "検証用データによる選択"),
    "done.candidates.says": Text(
        "Each setting was trained on a part of the table and scored on {rows} held out; the first was chosen. A "
        "larger log-likelihood is better.",
        "各設定を表の一部で学習し、残した{rows}で評価しました。最初の設定を採用しています。"
        "対数尤度は大きいほど良い値です。",
    ),
    "done.scores": Text("Scores when it was fitted", "学習時の評価"),
    "done.scores.says": Text(
        "On {rows} held out by the fit, beside what takes no network.",
        "学習に使わず残しておいた{rows}での評価です。ネットワークを使わない方法と並べています。",
    ),
    "done.columns": Text("Columns used", "使った列"),
    "done.left_out": Text("Columns left out", "使わなかった列"),
    "done.left_out.none": Text(
        "None: every column of the training table is used.",
        "ありません。学習データのすべての列を使っています。",
    ),
    "done.more_columns": Text("{count} further columns are not listed.", "ほか{count}列は省略しています。"),
    "done.name": Text("What", "項目"),
    "done.value": Text("Value", "値"),
    "done.column": Text("Column", "列"),
    "done.kind": Text("Kind", "種類"),
    "done.missing": Text("Missing in training", "学習データの欠損"),
    "done.range": Text("Range or values in training", "学習データの範囲・値"),
    "done.reason": Text("Reason", "理由"),
    "done.task": Text("Task", "予測の種類"),
    "done.target": Text("Target", "予測する列"),
    "done.trained": Text("Rows of the training table", "学習データの行数"),
    "done.rows": Text("Rows of this table", "この表の行数"),
    "done.scored": Text("Rows with a true value", "実際の値がある行数"),
    "done.hash": Text("SHA-256 of this table", "この表のSHA-256"),
    "done.draws": Text("Draws", "サンプル数"),
    "done.seed": Text("Seed of the draws", "サンプルのシード"),
    "done.versions": Text("Versions", "バージョン"),
    "done.range.numbers": Text("{low} to {high}", "{low}〜{high}"),
    "done.range.levels": Text("{names}", "{names}"),
    "done.range.more": Text("{names}, … ({count} values)", "{names} など（{count}種類）"),
    "kind.number": Text("number", "数値"),
    "kind.category": Text("category", "カテゴリ"),
    "kind.boolean": Text("yes or no", "真偽値"),
    "kind.date": Text("date", "日時"),
    "task.regression": Text("regression: a number", "回帰（数値の予測）"),
    "task.classification": Text("classification: a class", "分類（クラスの予測）"),
    "candidate.prior": Text("Prior", "事前分布"),
    "candidate.posterior": Text("Posterior", "事後分布"),
    "candidate.likelihood": Text("Likelihood", "尤度"),
    "candidate.kl_weight": Text("KL weight", "KLの重み"),
    "candidate.log_likelihood": Text("Held-out log-likelihood", "検証用データの対数尤度"),
    "candidate.inflation": Text("Inflation of the noise", "ノイズの拡大率"),
}
