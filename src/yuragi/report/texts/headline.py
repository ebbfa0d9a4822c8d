"""The headline: what to make of the predictions, in a few words."""

from __future__ import annotations

from yuragi.report.texts.text import Text

TEXTS: dict[str, Text] = {
    "headline.title": Text("In short", "要点"),
    "bars.title": Text("Are the error bars honest?", "誤差の範囲（エラーバー）は妥当か"),
    "bars.honest": Text("Yes", "妥当"),
    "bars.narrow": Text("No: too short", "狭すぎる"),
    "bars.wide": Text("Too long", "広すぎる"),
    "bars.few": Text("Too few rows to tell", "行数が足りず判断できない"),
    "bars.unknown": Text("Cannot be checked here", "この表では確認できない"),
    "bars.honest.says": Text(
        "The 90 % error bars hold {covered} of the true values. That is what they promise.",
        "90%の範囲に、実際の値の{covered}が入りました。想定どおりです。",
    ),
    "bars.narrow.says": Text(
        "The 90 % error bars hold only {covered} of the true values. The real errors are larger than the model says.",
        "90%の範囲に入った実際の値は{covered}にとどまります。実際の誤差は、モデルが示すよりも大きいといえます。",
    ),
    "bars.wide.says": Text(
        "The 90 % error bars hold {covered} of the true values, more than they promise. The model is better than "
        "it says.",
        "90%の範囲に実際の値の{covered}が入り、想定を上回りました。実際の誤差は、モデルが示すよりも小さいといえます。",
    ),
    "bars.few.says": Text(
        "The 90 % error bars hold {covered} of the true values, but with {rows} that may be chance.",
        "90%の範囲に実際の値の{covered}が入りましたが、{rows}では偶然の可能性があります。",
    ),
    "unknown.says": Text(
        "The table has no true values of “{target}” to compare with.",
        "この表には「{target}」の実際の値がないため、比較できません。",
    ),
    "use.title": Text("Are the predictions of use?", "予測は役に立つか"),
    "use.good": Text("Yes", "役に立つ"),
    "use.some": Text("Somewhat", "ある程度"),
    "use.none": Text("No", "役に立たない"),
    "use.numbers.says": Text(
        "The typical error is {rmse}. Always answering with the average of this table would be off by {baseline}.",
        "典型的な誤差は{rmse}です。常にこの表の平均値を答えた場合の誤差は{baseline}です。",
    ),
    "use.classes.says": Text(
        "{accuracy} of the answers are right. Always answering with the most frequent class would be right in "
        "{baseline}.",
        "正解率は{accuracy}です。常に最も多いクラスを答えた場合の正解率は{baseline}です。",
    ),
    "size.title": Text("How sure is the model?", "モデルはどの程度確信しているか"),
    "size.numbers": Text("± {std}", "± {std}"),
    "size.numbers.says": Text(
        "That is the standard deviation of half of the rows or less; a tenth have more than {high}.",
        "半数の行の標準偏差はこの値以下です。1割の行では{high}を超えます。",
    ),
    "size.classes.says": Text(
        "That is how sure it is of half of its answers or more; of a tenth it is less sure than {low}.",
        "半数の答えの確信度はこの値以上です。1割の答えでは{low}を下回ります。",
    ),
    "doubt.title": Text("Which rows to distrust?", "注意が必要な行はどれか"),
    "doubt.count": Text("{doubted} of {rows}", "{rows}中 {doubted}行"),
    "doubt.none": Text("None stands out", "特になし"),
    "doubt.numbers.says": Text(
        "In {outside} of them a column lies outside of what the model has seen in training; in {unsure} its own "
        "lack of knowledge is at least twice that of the usual row.",
        "このうち{outside}行は、学習データの範囲にない値や未知の値を含みます。{unsure}行は、"
        "モデルの知識不足による不確かさが通常の行の2倍以上です。",
    ),
    "doubt.classes.says": Text(
        "In {outside} of them a column lies outside of what the model has seen in training; in {unsure} it is less "
        "than {sure} sure of its answer.",
        "このうち{outside}行は、学習データの範囲にない値や未知の値を含みます。{unsure}行は、答えの確信度が{sure}未満です。",
    ),
    "doubt.none.numbers.says": Text(
        "No value lies outside of what the model has seen in training, and in no row is its lack of knowledge "
        "twice the usual.",
        "学習データの範囲を外れた値はなく、知識不足による不確かさが通常の2倍に達する行もありません。",
    ),
    "doubt.none.classes.says": Text(
        "No value lies outside of what the model has seen in training, and it is at least {sure} sure of every answer.",
        "学習データの範囲を外れた値はなく、どの答えの確信度も{sure}以上です。",
    ),
    "doubt.numbers.proof": Text(
        "Their typical error is {inside}; that of the other rows is {others}.",
        "これらの行の典型的な誤差は{inside}、その他の行では{others}です。",
    ),
    "doubt.classes.proof": Text(
        "Of these {inside} are right; of the other rows {others}.",
        "これらの行の正解率は{inside}、その他の行では{others}です。",
    ),
    "probs.title": Text("Are the probabilities honest?", "確率は妥当か"),
    "probs.good": Text("Yes", "妥当"),
    "probs.over": Text("No: too sure", "自信過剰"),
    "probs.under": Text("Too modest", "控えめすぎる"),
    "probs.few": Text("Too few rows to tell", "行数が足りず判断できない"),
    "probs.says": Text(
        "On average the model is {confidence} sure of its answer, and {accuracy} of its answers are right.",
        "モデルの確信度は平均{confidence}で、実際の正解率は{accuracy}です。",
    ),
    "notes.title": Text("Noticed in this table", "この表について気づいた点"),
    "notes.missing": Text(
        "{rows} without a true value of “{target}”: predicted, and left out of the scores.",
        "{rows}には「{target}」の実際の値がありません。予測はしますが、評価には含めません。",
    ),
    "notes.unseen": Text(
        "{rows} of a class of “{target}” that the model has never seen, so that it cannot name it: left out of the scores.",
        "{rows}の「{target}」は学習データにないクラスです。モデルはこのクラスを答えられず、必ず誤りになります。評価には含めません。",
    ),
    "notes.above": Text(
        "“{column}”: {rows} above all training values (up to {reference}).",
        "「{column}」：{rows}が学習データの最大値{reference}を超えています。",
    ),
    "notes.below": Text(
        "“{column}”: {rows} below all training values (from {reference}).",
        "「{column}」：{rows}が学習データの最小値{reference}を下回っています。",
    ),
    "notes.level": Text(
        "“{column}”: {rows} with a value that was never seen in training.",
        "「{column}」：{rows}が学習データに現れない値です。",
    ),
    "notes.gone": Text(
        "“{column}”: missing in {rows}, and never missing in training.",
        "「{column}」：{rows}で欠損しています。学習データには欠損がありません。",
    ),
    "notes.extra": Text("Columns that the model does not use: {names}.", "モデルが使わない列：{names}。"),
    "notes.more": Text("{count} further notes are not listed.", "ほか{count}件は省略しています。"),
}
