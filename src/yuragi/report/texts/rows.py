"""The most uncertain rows, and why they are."""

from __future__ import annotations

from yuragi.report.texts.text import Text

TEXTS: dict[str, Text] = {
    "section.rows": Text("The most uncertain rows, and why", "最も不確かな行とその理由"),
    "rows.says": Text(
        "The {count} rows that the model is least sure of, with what in them is far from the training data. Each "
        "heading sorts the table.",
        "モデルが最も不確かとした{count}行と、学習データから離れている点です。見出しを押すと並べ替えられます。",
    ),
    "rows.caption": Text(
        "The most uncertain rows; the buttons in the headings sort them",
        "最も不確かな行（見出しのボタンで並べ替え）",
    ),
    "rows.row": Text("Row", "行"),
    "rows.predicted": Text("Predicted", "予測値"),
    "rows.interval": Text("90 % interval", "90%区間"),
    "rows.std": Text("Std", "標準偏差"),
    "rows.epistemic": Text("Of it lack of knowledge", "うち知識不足"),
    "rows.true": Text("True", "実際の値"),
    "rows.answer": Text("Answer", "答え"),
    "rows.confidence": Text("How sure", "確信度"),
    "rows.second": Text("Second choice", "次の候補"),
    "rows.entropy": Text("Entropy", "エントロピー"),
    "rows.why": Text("Why", "理由"),
    "rows.sorted": Text("sorted by {column}, {order}", "{column}で並べ替え済み（{order}）"),
    "rows.ascending": Text("the smallest first", "小さい順"),
    "rows.descending": Text("the largest first", "大きい順"),
    "rows.more": Text("and {count} more", "ほか{count}件"),
    "why.above": Text(
        "“{column}” is {value}: above all training values (up to {reference})",
        "「{column}」が{value}：学習データの最大値{reference}を超えている",
    ),
    "why.below": Text(
        "“{column}” is {value}: below all training values (from {reference})",
        "「{column}」が{value}：学習データの最小値{reference}を下回る",
    ),
    "why.high": Text(
        "“{column}” is {value}: among the highest 2 % of the training values",
        "「{column}」が{value}：学習データの上位2%に当たる",
    ),
    "why.low": Text(
        "“{column}” is {value}: among the lowest 2 % of the training values",
        "「{column}」が{value}：学習データの下位2%に当たる",
    ),
    "why.unseen": Text(
        "“{column}” is “{value}”: never seen in training",
        "「{column}」が「{value}」：学習データに現れない値",
    ),
    "why.rare": Text(
        "“{column}” is “{value}”: rare, {reference} in training",
        "「{column}」が「{value}」：学習データには{reference}のみ",
    ),
    "why.never missing": Text(
        "“{column}” is missing, which it never was in training",
        "「{column}」が欠損：学習データには欠損がない",
    ),
    "why.missing": Text(
        "“{column}” is missing, as in only {reference} of the training table",
        "「{column}」が欠損：学習データの欠損は{reference}のみ",
    ),
    "why.noise": Text(
        "No column is unusual: similar rows simply differ this much (noise)",
        "特に珍しい値はない：似た行どうしでもこの程度はばらつく（ノイズ）",
    ),
    "why.combination": Text(
        "No column is unusual by itself: the model has met few such combinations",
        "個々の値は珍しくない：この組み合わせが学習データに少ないと考えられる",
    ),
    "why.overlap": Text(
        "No column is unusual: rows like this one belong to several classes",
        "特に珍しい値はない：似た行が複数のクラスに属している",
    ),
}
