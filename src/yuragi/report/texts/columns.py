"""What the predictions depend on, and the training curve."""

from __future__ import annotations

from yuragi.report.texts.text import Text

TEXTS: dict[str, Text] = {
    "section.columns": Text("What the predictions depend on", "予測は何で決まるか"),
    "influence.title": Text("Which columns matter", "影響の大きい列"),
    "influence.numbers.says": Text(
        "How much the prediction typically changes when the values of one column are dealt out anew among rows: "
        "“{first}” matters most.",
        "ある列の値を行の間で入れ替えたとき、予測が典型的にどれだけ変わるかです。最も影響が大きいのは「{first}」です。",
    ),
    "influence.classes.says": Text(
        "How much probability moves between classes when the values of one column are dealt out anew among rows: "
        "“{first}” matters most.",
        "ある列の値を行の間で入れ替えたとき、クラス間で動く確率の大きさです。最も影響が大きいのは「{first}」です。",
    ),
    "influence.alt": Text("Bar chart of the influence of columns: {pairs}.", "列の影響の棒グラフ：{pairs}。"),
    "influence.column": Text("Column", "列"),
    "influence.left_out": Text(
        "Pictures are drawn for the {shown} columns that matter most; not drawn: {names}.",
        "影響の大きい{shown}列について図を描いています。省いた列：{names}。",
    ),
    "names.more": Text("{names} and {count} more", "{names} ほか{count}列"),
    "influence.screened": Text(
        "The influence of {measured} of {columns} columns was measured: of those that the predictions vary with most.",
        "{columns}列のうち、予測との関連が強い{measured}列について影響を調べました。",
    ),
    "dependence.title": Text("“{column}”", "「{column}」"),
    "dependence.numbers.says": Text(
        "The mean prediction when only “{column}” changes; the dark band is what the model does not know of it, "
        "the light one is where a new value would fall.",
        "「{column}」だけを変えたときの平均的な予測です。濃い帯はモデルの知識不足、"
        "淡い帯は新しい値が入ると見込まれる範囲です。",
    ),
    "dependence.numbers.alt": Text(
        "Partial dependence on {column}: from {first} at {start} to {last} at {end}; least {low}, greatest {high}. "
        "The standard deviation from lack of knowledge goes up to {epistemic}.",
        "{column}への依存。{start}のとき{first}、{end}のとき{last}。最小{low}、最大{high}。"
        "知識不足による標準偏差は最大{epistemic}です。",
    ),
    "dependence.classes.says": Text(
        "The mean probability of the classes when only “{column}” changes; the bands are what the model does not "
        "know of it.",
        "「{column}」だけを変えたときの各クラスの平均確率です。帯はモデルの知識不足による幅です。",
    ),
    "dependence.classes.alt": Text(
        "Partial dependence of class probabilities on {column}: {pairs}.",
        "{column}に対する各クラスの確率：{pairs}。",
    ),
    "dependence.class_range": Text("“{name}” from {low} to {high}", "「{name}」は{low}から{high}"),
    "dependence.epistemic": Text("epistemic std", "知識不足の標準偏差"),
    "dependence.total": Text("total std", "合計の標準偏差"),
    "dependence.levels": Text("{count} rarer values are not shown.", "これより少ない値{count}種類は省いています。"),
    "dependence.some_classes": Text(
        "The {shown} most frequent of {classes} classes are drawn.",
        "{classes}クラスのうち、多い{shown}クラスを描いています。",
    ),
    "section.training": Text("Training", "学習の経過"),
    "training.title": Text("Training curve", "学習曲線"),
    "training.says": Text(
        "The loss says how badly the model explains the data it learns from; training is done when the curve no "
        "longer falls.",
        "損失は、モデルが学習データをどれだけ説明できていないかを表します。曲線が下がらなくなれば学習は十分です。",
    ),
    "training.alt": Text(
        "Training loss over {epochs} passes, from {first} to {last} nats per row.{validation}",
        "{epochs}エポックの学習損失。{first}から{last}（nat／行）へ変化。{validation}",
    ),
    "training.validation": Text(
        " The loss on held-out rows is {best} at its best.",
        "検証用データでの損失は最小で{best}です。",
    ),
    "training.none": Text(
        "The model file holds no training curve.",
        "モデルのファイルには学習曲線が含まれていません。",
    ),
}
