"""Figures of predictions of a class."""

from __future__ import annotations

from yuragi.report.texts.text import Text

TEXTS: dict[str, Text] = {
    "reliability.title": Text("Calibration", "較正（キャリブレーション）"),
    "reliability.says": Text(
        "Of the answers that the model is 80 % sure of, 80 % should be right: on the dashed line the two agree; "
        "here they differ by {ece} on average.",
        "確信度80%の答えなら80%が正解のはずで、破線上で両者が一致します。この表でのずれは平均{ece}です。",
    ),
    "reliability.alt": Text(
        "Share of right answers against how sure the model is. The expected calibration error is {ece}; of the "
        "answers that it is {confidence} sure of, {accuracy} are right.",
        "確信度に対する正解率。期待較正誤差は{ece}。"
        "最も行数の多い区分では確信度{confidence}に対し正解率は{accuracy}です。",
    ),
    "confidence.title": Text("How sure, and how often right", "確信度と正誤"),
    "confidence.says": Text(
        "Wrong answers should be found where the model is not sure, to the left; it is {right} sure of its right "
        "answers on average, and {wrong} of its wrong ones.",
        "誤りは確信度の低い左側に集まるのが理想です。平均の確信度は、正解した答えで{right}、誤った答えで{wrong}です。",
    ),
    "confidence.alt": Text(
        "Histogram of how sure the model is, of right and of wrong answers. {count} of {rows} answers are wrong; "
        "of those that it is at least 90 % sure of, {sure} are wrong.",
        "確信度のヒストグラム（正解・誤り別）。{rows}件のうち{count}件が誤りで、確信度90%以上の答えでは{sure}件が誤りです。",
    ),
    "confusion.title": Text("What is taken for what", "どのクラスをどのクラスと間違えたか"),
    "confusion.says": Text(
        "Each row of the picture is a true class and shows what the model answered; right answers are on the diagonal.",
        "図の各行が実際のクラス、各列がモデルの答えです。正しい答えは対角線上に並びます。",
    ),
    "confusion.alt": Text(
        "Confusion matrix of {classes} classes. {right} of {rows} are on the diagonal. {worst}",
        "{classes}クラスの混同行列。{rows}件のうち{right}件が対角線上にあります。{worst}",
    ),
    "confusion.worst": Text(
        "The most frequent mistake is to take “{true}” for “{predicted}”, {count} times.",
        "最も多い誤りは「{true}」を「{predicted}」とするもので、{count}回です。",
    ),
    "confusion.merged": Text(
        "The {shown} most frequent of {classes} classes are shown apart.",
        "{classes}クラスのうち、多い順に{shown}クラスを個別に示しています。",
    ),
    "truth.title": Text("Probability given to what came true", "実際のクラスに与えた確率"),
    "truth.says": Text(
        "How much probability the model gave to the true class: at the far right it was sure and right, at the far "
        "left it was sure of something else.",
        "実際のクラスに、モデルがどれだけの確率を与えていたかです。右端は確信して正解した行、"
        "左端は別の答えを確信していた行です。",
    ),
    "truth.alt": Text(
        "Histogram of the probability of the true class: its median is {median}; {low} of the rows got less than 10 %.",
        "実際のクラスの確率のヒストグラム。中央値は{median}、10%未満だった行は{low}です。",
    ),
    "risk.title": Text("What if only sure answers are used?", "確信度の高い答えだけを使うと"),
    "risk.says": Text(
        "Leaving out the answers that the model is least sure of should leave fewer errors: with all {all} are "
        "wrong, with the surest half {half}.",
        "確信度の低い答えを除くほど誤りは減るはずです。誤りの割合は、すべて使うと{all}、"
        "確信度の高い半分だけなら{half}です。",
    ),
    "risk.alt": Text(
        "Share of errors against share of rows answered, the surest first: {pairs}. The area under the curve is "
        "{area}.",
        "答えた行の割合（確信度の高い順）に対する誤りの割合：{pairs}。曲線の下の面積は{area}です。",
    ),
    "risk.pair": Text("{used} answered, {risk} wrong", "{used}に回答、誤り{risk}"),
    "entropy.title": Text("Two kinds of doubt", "二種類の不確かさ"),
    "entropy.says": Text(
        "To the right the model is unsure of its answer; the higher a point, the more of that is because it has "
        "seen too few such rows, and not because the classes overlap.",
        "右ほど答えが不確かです。上にある点ほど、クラスの重なりではなく、似たデータの不足が原因です。",
    ),
    "entropy.alt": Text(
        "Mutual information against entropy of each row. Median entropy {entropy}, median mutual information "
        "{information} nats; the largest mutual information is {largest}.",
        "各行のエントロピーと相互情報量。中央値はエントロピー{entropy}、相互情報量{information} nat、"
        "相互情報量の最大は{largest}です。",
    ),
    "sure.title": Text("How sure the model is", "モデルの確信の度合い"),
    "sure.says": Text(
        "How many answers the model is how sure of: those to the right it is almost certain of.",
        "確信度ごとの答えの数です。右側の答えほど、モデルはほぼ確実だとしています。",
    ),
    "sure.alt": Text(
        "Histogram of the probability of the predicted class: its median is {median}; {sure} of the rows are above "
        "90 %.",
        "予測したクラスの確率のヒストグラム。中央値は{median}、90%を超える行は{sure}です。",
    ),
    "counts.title": Text("Predicted classes", "予測したクラスの内訳"),
    "counts.says": Text(
        "How often each class is the most probable one: “{first}” in {share} of the rows.",
        "それぞれのクラスが最も確からしいとされた行の数です。「{first}」が{share}を占めます。",
    ),
    "counts.alt": Text("Bar chart of predicted classes: {pairs}.", "予測したクラスの棒グラフ：{pairs}。"),
}
