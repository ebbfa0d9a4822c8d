"""All that the report says, in English and Japanese side by side."""

from __future__ import annotations

from typing import NamedTuple


class Text(NamedTuple):
    """One text in both languages; placeholders in braces are the same in both."""

    en: str
    ja: str


TEXTS: dict[str, Text] = {
    # -- the page
    "page.title": Text("How far can you trust these predictions?", "この予測はどこまで信頼できるか"),
    "page.subtitle": Text(
        "Predictions of “{target}” for {rows}, by a model trained on {trained}.",
        "「{target}」を予測したレポートです。対象は{rows}、モデルの学習に使ったのは{trained}です。",
    ),
    "page.skip": Text("Skip to the results", "結果へ移動"),
    "page.contents": Text("Contents", "目次"),
    "page.dark": Text("Dark", "ダーク"),
    "page.light": Text("Light", "ライト"),
    "page.theme": Text("Colours of the page", "ページの配色"),
    "page.noscript": Text(
        "The pictures need JavaScript. What they show is in the tables below each of them.",
        "図の表示にはJavaScriptが必要です。各図の下の表に同じ内容があります。",
    ),
    "page.table": Text("Data as a table", "データを表で見る"),
    "page.made": Text(
        "Written by yuragi {version}. The file is complete: it loads nothing from a network.",
        "yuragi {version} が作成しました。このファイルだけで完結し、ネットワークからは何も読み込みません。",
    ),
    "rows.one": Text("{count} row", "{count}行"),
    "rows.many": Text("{count} rows", "{count}行"),
    "figure.shown": Text(
        "{shown} of {rows} rows are drawn, chosen at random.", "{rows}行のうち無作為に選んだ{shown}行を描いています。"
    ),
    "status.good": Text("good", "良好"),
    "status.warn": Text("caution", "注意"),
    "status.bad": Text("problem", "問題あり"),
    "status.info": Text("note", "参考"),
    # -- the headline
    "headline.title": Text("In short", "要点"),
    "bars.title": Text("Are the error bars honest?", "誤差の範囲（エラーバー）は正しいか"),
    "bars.good": Text("Yes", "正しい"),
    "bars.narrow": Text("No: too short", "短すぎる"),
    "bars.wide": Text("Too long", "長すぎる"),
    "bars.few": Text("Too few rows to tell", "行数が足りず判断できない"),
    "bars.unknown": Text("Cannot be checked here", "この表では確認できない"),
    "bars.good.says": Text(
        "The 90 % error bars hold {covered} of the true values. That is what they promise.",
        "90%の範囲に、正解の{covered}が入りました。約束どおりです。",
    ),
    "bars.narrow.says": Text(
        "The 90 % error bars hold only {covered} of the true values. The real errors are larger than the model says.",
        "90%の範囲に入った正解は{covered}だけです。実際の誤差は、モデルが示すより大きくなっています。",
    ),
    "bars.wide.says": Text(
        "The 90 % error bars hold {covered} of the true values, more than they promise. The model is better than it says.",
        "90%の範囲に正解の{covered}が入り、約束より多くなっています。実際の誤差は、モデルが示すより小さめです。",
    ),
    "bars.few.says": Text(
        "The 90 % error bars hold {covered} of the true values, but with {rows} that may be chance.",
        "90%の範囲に正解の{covered}が入りましたが、{rows}では偶然かもしれません。",
    ),
    "unknown.says": Text(
        "The table has no true values of “{target}” to compare with.",
        "この表には「{target}」の正解がないため、比べられません。",
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
        "{accuracy} of the answers are right. Always answering with the most frequent class would be right in {baseline}.",
        "答えの{accuracy}が正解でした。常に最も多いクラスを答えた場合の正解率は{baseline}です。",
    ),
    "size.title": Text("How sure is the model?", "モデルはどれくらい確信しているか"),
    "size.numbers": Text("± {std}", "± {std}"),
    "size.numbers.says": Text(
        "That is the standard deviation of half of the rows or less; a tenth have more than {high}.",
        "半数の行の標準偏差はこの値以下です。1割の行では{high}を超えます。",
    ),
    "size.classes.says": Text(
        "That is how sure it is of half of its answers or more; of a tenth it is less sure than {low}.",
        "半数の答えの確信度はこの値以上です。1割の答えでは{low}を下回ります。",
    ),
    "doubt.title": Text("Which rows to distrust?", "疑うべき行はどれか"),
    "doubt.count": Text("{doubted} of {rows}", "{rows}中 {doubted}行"),
    "doubt.none": Text("None stands out", "目立つ行はない"),
    "doubt.numbers.says": Text(
        "In {outside} of them a column lies outside of what the model has seen in training; in {unsure} its own lack of "
        "knowledge is at least twice that of the usual row.",
        "このうち{outside}は、学習データの範囲にない値や未知の値を含みます。{unsure}は、モデルの知識不足による不確かさが通常の行の"
        "2倍以上です。",
    ),
    "doubt.classes.says": Text(
        "In {outside} of them a column lies outside of what the model has seen in training; in {unsure} it is less than "
        "{sure} sure of its answer.",
        "このうち{outside}は、学習データの範囲にない値や未知の値を含みます。{unsure}は、答えの確信度が{sure}未満です。",
    ),
    "doubt.none.numbers.says": Text(
        "No value lies outside of what the model has seen in training, and in no row is its lack of knowledge twice the usual.",
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
    "probs.title": Text("Are the probabilities honest?", "確率は正しいか"),
    "probs.good": Text("Yes", "正しい"),
    "probs.over": Text("No: too sure", "自信過剰"),
    "probs.under": Text("Too modest", "控えめすぎる"),
    "probs.few": Text("Too few rows to tell", "行数が足りず判断できない"),
    "probs.says": Text(
        "On average the model is {confidence} sure of its answer, and {accuracy} of its answers are right.",
        "モデルの確信度は平均{confidence}で、実際の正解率は{accuracy}です。",
    ),
    "notes.title": Text("Noticed in this table", "この表で気づいた点"),
    "notes.missing": Text(
        "{rows} have no true value of “{target}”: they are predicted, and left out of the scores.",
        "{rows}には「{target}」の正解がありません。予測はしますが、評価には含めません。",
    ),
    "notes.unseen": Text(
        "{rows} are of a class of “{target}” that the model has never seen, so it cannot name it: every such answer is wrong. "
        "They are left out of the scores.",
        "{rows}の「{target}」は学習データにないクラスです。モデルは答えられないため必ず誤りになります。評価には含めません。",
    ),
    # -- scores
    "scores.title": Text("The numbers", "評価の数値"),
    "scores.says": Text(
        "Scores of the {rows} whose true value is known.", "正解のわかっている{rows}についての評価です。"
    ),
    "scores.name": Text("Score", "指標"),
    "scores.value": Text("Value", "値"),
    "scores.meaning": Text("What it means", "意味"),
    "score.rmse": Text("Root mean squared error", "二乗平均平方根誤差（RMSE）"),
    "score.rmse.says": Text("typical size of an error; smaller is better", "誤差の典型的な大きさ。小さいほど良い"),
    "score.baseline": Text("… of the average of this table", "… 常に平均値を答えた場合"),
    "score.baseline.says": Text(
        "what a model must beat to be of any use", "これを下回らなければモデルを使う意味がない"
    ),
    "score.log": Text("Mean log-likelihood (nats)", "平均対数尤度（nat）"),
    "score.log.says": Text(
        "how much probability the model gave to what came true; larger is better",
        "実際の値にどれだけの確率を与えていたか。大きいほど良い",
    ),
    "score.area": Text("Calibration error", "較正誤差"),
    "score.area.says": Text(
        "0 is perfect; {chance} is usual by chance with so many rows, and 0.5 the worst",
        "0が完全。この行数では偶然だけでも{chance}程度になり、最悪は0.5",
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
        "確率と正解との二乗距離（0〜2）。小さいほど良い",
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
    # -- axes and legends
    "axis.true": Text("true value", "正解の値"),
    "axis.predicted": Text("predicted", "予測値"),
    "axis.expected": Text("promised share", "約束した割合"),
    "axis.observed": Text("observed share", "実際の割合"),
    "axis.level": Text("interval", "区間"),
    "axis.std": Text("predicted std", "予測した標準偏差"),
    "axis.error": Text("size of the error", "誤差の大きさ"),
    "axis.residual": Text("true − predicted", "正解 − 予測"),
    "axis.rows": Text("rows", "行数"),
    "axis.share": Text("share of rows", "行の割合"),
    "axis.rank": Text("rows, the lowest prediction first", "行（予測値の小さい順）"),
    "axis.epoch": Text("passes over the training data", "学習の反復回数（エポック）"),
    "axis.loss": Text("loss, nats per row", "損失（nat／行）"),
    "axis.influence": Text("change of the prediction", "予測の変化"),
    "axis.confidence": Text("how sure the model is", "確信度"),
    "axis.accuracy": Text("share that is right", "正解率"),
    "axis.probability": Text("probability", "確率"),
    "axis.true_class": Text("true class", "正解のクラス"),
    "axis.predicted_class": Text("predicted class", "予測したクラス"),
    "axis.used": Text("share of rows answered, the surest first", "答えた行の割合（確信度の高い順）"),
    "axis.risk": Text("share of them that is wrong", "そのうち誤りの割合"),
    "axis.entropy": Text("entropy, nats", "エントロピー（nat）"),
    "axis.information": Text("mutual information, nats", "相互情報量（nat）"),
    "legend.inside": Text("inside its error bar", "範囲内"),
    "legend.outside": Text("outside its error bar", "範囲外"),
    "legend.perfect": Text("perfect", "理想"),
    "legend.chance": Text("within chance", "偶然の範囲"),
    "legend.observed": Text("observed", "実際"),
    "legend.promised": Text("promised", "約束"),
    "legend.rows": Text("rows", "各行"),
    "legend.typical": Text("typical error", "典型的な誤差"),
    "legend.residual": Text("rows", "各行"),
    "legend.mean": Text("mean", "平均"),
    "legend.epistemic": Text("lack of knowledge (epistemic), 90 %", "知識不足による不確かさ（epistemic）90%"),
    "legend.total": Text("with noise (total), 90 %", "ばらつきも含む（合計）90%"),
    "legend.interval": Text("90 % interval", "90%区間"),
    "legend.std": Text("total", "合計"),
    "legend.epistemic_std": Text("lack of knowledge (epistemic)", "知識不足（epistemic）"),
    "legend.loss": Text("training loss", "学習時の損失"),
    "legend.validation": Text("on held-out rows", "検証用の行"),
    "legend.right": Text("right", "正解"),
    "legend.wrong": Text("wrong", "誤り"),
    "legend.model": Text("this model", "このモデル"),
    "legend.random": Text("leaving out at random", "無作為に除いた場合"),
    "other": Text("(all others)", "（その他）"),
    # -- figures of numbers
    "section.quality": Text("How good are the predictions?", "予測の良さ"),
    "section.predictions": Text("The predictions", "予測"),
    "predicted.title": Text("Predicted and true values", "予測値と正解"),
    "predicted.says": Text(
        "Each point is a row: on the dashed line the prediction is exactly right, and the bar, which should cross that line in "
        "90 of 100 rows, does so in {covered}.",
        "点は1行を表します。破線上なら予測は完全に正しく、バーは100行中90行で破線と交わるはずで、実際は{covered}で交わりました。",
    ),
    "predicted.alt": Text(
        "Scatter plot of true against predicted values with 90 % error bars. Predictions go from {low} to {high}; {covered} of "
        "the true values are inside their error bar; the root mean squared error is {rmse}.",
        "予測値と正解の散布図（90%のエラーバー付き）。予測値は{low}から{high}、正解の{covered}がエラーバーの中にあり、RMSEは{rmse}です。",
    ),
    "predicted.from": Text("predictions", "予測値の範囲"),
    "predicted.covered": Text("inside the error bar", "範囲内の割合"),
    "calibration.title": Text("Calibration", "較正"),
    "calibration.says": Text(
        "Where the curve keeps to the dashed line, the model is right about how often a true value stays below what it "
        "names; here it is off by {area} on average.",
        "曲線が破線に沿うほど、モデルの示す「正解がこの値以下になる割合」は正確です。ここでのずれは平均{area}です。",
    ),
    "calibration.alt": Text(
        "Observed against promised share of true values below the predicted quantile. The calibration error is {area}; the "
        "largest gap is {gap}, where {expected} are promised and {observed} observed.",
        "予測した分位点以下になった正解の割合（約束と実際）。較正誤差は{area}。最大のずれは{gap}で、約束{expected}に対し実際は{observed}です。",
    ),
    "coverage.title": Text("Coverage of the intervals", "区間に入った割合"),
    "coverage.says": Text(
        "Each bar should end at its mark: of the error bars that promise {level}, {observed} hold the true value.",
        "棒の先が印と一致するのが理想です。{level}を約束した範囲には、正解の{observed}が入りました。",
    ),
    "coverage.alt": Text(
        "Share of true values inside the predicted intervals: {pairs}.",
        "予測区間に正解が入った割合：{pairs}。",
    ),
    "coverage.pair": Text("promised {level}, observed {observed}", "約束{level}、実際{observed}"),
    "spread.title": Text("Does the error bar know where the errors are?", "誤差の大きい所を見抜けているか"),
    "spread.says": Text(
        "Where the model names a larger std the errors should be larger: the line of typical errors should follow the dashed "
        "one.",
        "モデルが大きな標準偏差を示す行ほど、誤差も大きいはずです。典型的な誤差の線が破線に沿うのが理想です。",
    ),
    "spread.alt": Text(
        "Size of the error against predicted standard deviation. In the tenth of rows with the smallest std, {low_std} on "
        "average, the typical error is {low_error}; in that with the largest, {high_std}, it is {high_error}.",
        "誤差の大きさと予測した標準偏差の関係。標準偏差が最小の1割（平均{low_std}）では典型的な誤差が{low_error}、最大の1割"
        "（平均{high_std}）では{high_error}です。",
    ),
    "spread.group": Text("rows by std", "標準偏差の順位"),
    "residuals.title": Text("Errors", "誤差（残差）"),
    "residuals.says": Text(
        "The points should lie about the zero line with no shape to them; on average the true value is {bias} {side} the "
        "prediction.",
        "点が0の線のまわりに偏りなく散らばるのが理想です。正解は平均して予測より{bias}{side}なっています。",
    ),
    "residuals.above": Text("above", "大きく"),
    "residuals.below": Text("below", "小さく"),
    "residuals.alt": Text(
        "True less predicted value, against the prediction, with a histogram. Mean {bias}; half of the errors are between "
        "{low} and {high}; the largest is {largest}.",
        "正解と予測の差（予測値に対する散布図とヒストグラム）。平均{bias}、半数の誤差は{low}から{high}の間、最大は{largest}です。",
    ),
    "residuals.bin": Text("error", "誤差"),
    "sorted.title": Text("All predictions with their error bars", "すべての予測とその範囲"),
    "sorted.says": Text(
        "Each point is a row and the bar is where its true value should lie in 90 of 100 cases: the longer, the less sure.",
        "点は1行を表し、バーは100回中90回は正解が入ると見込まれる範囲です。長いほど不確かです。",
    ),
    "sorted.alt": Text(
        "Predictions in increasing order with 90 % error bars, from {low} to {high}. The median standard deviation is {std}.",
        "予測値を小さい順に並べ、90%のエラーバーを付けた図。予測値は{low}から{high}、標準偏差の中央値は{std}です。",
    ),
    "stds.title": Text("How sure the model is", "モデルの確かさ"),
    "stds.says": Text(
        "How many rows have an uncertainty of which size: what the model lacks in knowledge would shrink with more data, the "
        "rest is noise.",
        "不確かさの大きさごとの行数です。知識不足による分はデータを増やせば減り、残りはデータ自体のばらつきです。",
    ),
    "stds.alt": Text(
        "Histograms of the standard deviation: total with median {std}, lack of knowledge (epistemic) with median {epistemic}.",
        "標準偏差のヒストグラム。合計の中央値は{std}、知識不足（epistemic）の中央値は{epistemic}です。",
    ),
    # -- figures of classes
    "reliability.title": Text("Calibration", "較正"),
    "reliability.says": Text(
        "Of the answers that the model is 80 % sure of, 80 % should be right: on the dashed line the two agree; here they "
        "differ by {ece} on average.",
        "確信度80%の答えなら80%が正解のはずで、破線上で両者が一致します。ここでのずれは平均{ece}です。",
    ),
    "reliability.alt": Text(
        "Share of right answers against how sure the model is. The expected calibration error is {ece}; of the answers that "
        "it is {confidence} sure of, {accuracy} are right.",
        "確信度に対する正解率。期待較正誤差は{ece}。最も行数の多い区分では確信度{confidence}に対し正解率は{accuracy}です。",
    ),
    "confidence.title": Text("How sure, and how often right", "確信度と正誤"),
    "confidence.says": Text(
        "Wrong answers should be found where the model is not sure, to the left; it is {right} sure of its right answers on "
        "average, and {wrong} of its wrong ones.",
        "誤りは確信度の低い左側に集まるのが理想です。平均の確信度は、正解した答えで{right}、誤った答えで{wrong}です。",
    ),
    "confidence.alt": Text(
        "Histogram of how sure the model is, of right and of wrong answers. {count} of {rows} answers are wrong; of those "
        "that it is at least 90 % sure of, {sure} are wrong.",
        "確信度のヒストグラム（正解・誤り別）。{rows}のうち{count}が誤りで、確信度90%以上の答えでは{sure}が誤りです。",
    ),
    "confusion.title": Text("What is taken for what", "どれをどれと間違えたか"),
    "confusion.says": Text(
        "Each row of the picture is a true class and shows what the model answered; right answers are on the diagonal.",
        "図の各行が正解のクラス、各列がモデルの答えです。正解は対角線上に並びます。",
    ),
    "confusion.alt": Text(
        "Confusion matrix of {classes} classes. {right} of {rows} are on the diagonal. {worst}",
        "{classes}クラスの混同行列。{rows}のうち{right}が対角線上にあります。{worst}",
    ),
    "confusion.worst": Text(
        "The most frequent mistake is to take “{true}” for “{predicted}”, {count} times.",
        "最も多い誤りは「{true}」を「{predicted}」とするもので、{count}回です。",
    ),
    "confusion.merged": Text(
        "The {shown} most frequent of {classes} classes are shown apart.",
        "{classes}クラスのうち、多い順に{shown}クラスを個別に示しています。",
    ),
    "truth.title": Text("Probability given to what came true", "正解に与えた確率"),
    "truth.says": Text(
        "How much probability the model gave to the true class: at the far right it was sure and right, at the far left it was "
        "sure of something else.",
        "正解のクラスにモデルが与えていた確率です。右端ほど確信して正解、左端ほど別の答えを確信していたことになります。",
    ),
    "truth.alt": Text(
        "Histogram of the probability of the true class: its median is {median}; {low} of the rows got less than 10 %.",
        "正解クラスの確率のヒストグラム。中央値は{median}、10%未満だった行は{low}です。",
    ),
    "risk.title": Text("What if only sure answers are used?", "確信のある答えだけを使うと"),
    "risk.says": Text(
        "Leaving out the answers that the model is least sure of should leave fewer errors: with all {all} are wrong, with the "
        "surest half {half}.",
        "確信度の低い答えを除くほど誤りは減るはずです。すべて使うと{all}、確信度の高い半分だけなら{half}が誤りです。",
    ),
    "risk.alt": Text(
        "Share of errors against share of rows answered, the surest first: {pairs}. The area under the curve is {area}.",
        "答えた行の割合（確信度の高い順）に対する誤りの割合：{pairs}。曲線の下の面積は{area}です。",
    ),
    "risk.pair": Text("{used} answered, {risk} wrong", "{used}に回答、誤り{risk}"),
    "entropy.title": Text("Two kinds of doubt", "二種類の不確かさ"),
    "entropy.says": Text(
        "To the right the model is unsure of its answer; the higher a point, the more of that is because it has seen too few "
        "such rows, and not because the classes overlap.",
        "右ほど答えが不確かです。上にある点ほど、クラスの重なりではなく、似たデータの不足が原因です。",
    ),
    "entropy.alt": Text(
        "Mutual information against entropy of each row. Median entropy {entropy}, median mutual information {information} "
        "nats; the largest mutual information is {largest}.",
        "各行のエントロピーと相互情報量。中央値はエントロピー{entropy}、相互情報量{information} nat、相互情報量の最大は{largest}です。",
    ),
    "sure.title": Text("How sure the model is", "モデルの確かさ"),
    "sure.says": Text(
        "How many answers the model is how sure of: those to the right it is almost certain of.",
        "確信度ごとの答えの数です。右側の答えほど、モデルはほぼ確実だとしています。",
    ),
    "sure.alt": Text(
        "Histogram of the probability of the predicted class: its median is {median}; {sure} of the rows are above 90 %.",
        "予測したクラスの確率のヒストグラム。中央値は{median}、90%を超える行は{sure}です。",
    ),
    "counts.title": Text("Predicted classes", "予測したクラスの内訳"),
    "counts.says": Text(
        "How often each class is the most probable one: “{first}” in {share} of the rows.",
        "それぞれのクラスが最も確からしいとされた行の数です。「{first}」が{share}を占めます。",
    ),
    "counts.alt": Text("Bar chart of predicted classes: {pairs}.", "予測したクラスの棒グラフ：{pairs}。"),
    # -- the most uncertain rows
    "section.rows": Text("The most uncertain rows, and why", "最も不確かな行とその理由"),
    "rows.says": Text(
        "The {count} rows that the model is least sure of, with what in them is far from the training data. Each heading sorts "
        "the table.",
        "モデルが最も不確かとした{count}行と、学習データから離れている点です。見出しを押すと並べ替えられます。",
    ),
    "rows.caption": Text(
        "The most uncertain rows; the buttons in the headings sort them", "最も不確かな行（見出しのボタンで並べ替え）"
    ),
    "rows.row": Text("Row", "行"),
    "rows.predicted": Text("Predicted", "予測値"),
    "rows.interval": Text("90 % interval", "90%区間"),
    "rows.std": Text("Std", "標準偏差"),
    "rows.epistemic": Text("Of it lack of knowledge", "うち知識不足"),
    "rows.true": Text("True", "正解"),
    "rows.answer": Text("Answer", "答え"),
    "rows.confidence": Text("How sure", "確信度"),
    "rows.second": Text("Second choice", "次の候補"),
    "rows.entropy": Text("Entropy", "エントロピー"),
    "rows.why": Text("Why", "理由"),
    "rows.sort": Text("Sort by {column}", "{column}で並べ替え"),
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
        "“{column}” is “{value}”: never seen in training", "「{column}」が「{value}」：学習データに一度もない"
    ),
    "why.rare": Text(
        "“{column}” is “{value}”: rare, {reference} in training", "「{column}」が「{value}」：学習データに{reference}しかない"
    ),
    "why.never missing": Text(
        "“{column}” is missing, which it never was in training", "「{column}」が欠けている：学習データでは欠けたことがない"
    ),
    "why.missing": Text(
        "“{column}” is missing, as in only {reference} of the training table",
        "「{column}」が欠けている：学習データで欠けていたのは{reference}だけ",
    ),
    "why.noise": Text(
        "No column is unusual: similar rows simply differ this much (noise)",
        "珍しい列はない：似た行どうしでもこの程度ばらつく（ノイズ）",
    ),
    "why.combination": Text(
        "No column is unusual by itself: the model has met few such combinations",
        "個々の列は珍しくない：この組み合わせが学習データに少ないと考えられる",
    ),
    "why.overlap": Text(
        "No column is unusual: rows like this one belong to several classes",
        "珍しい列はない：似た行が複数のクラスに属している",
    ),
    # -- columns
    "section.columns": Text("What the predictions depend on", "予測は何で決まるか"),
    "influence.title": Text("Which columns matter", "影響の大きい列"),
    "influence.numbers.says": Text(
        "How much the prediction typically changes when the values of one column are dealt out anew among rows: “{first}” "
        "matters most.",
        "ある列の値を行の間で入れ替えたとき、予測が典型的にどれだけ変わるかです。最も影響が大きいのは「{first}」です。",
    ),
    "influence.classes.says": Text(
        "How much probability moves between classes when the values of one column are dealt out anew among rows: “{first}” "
        "matters most.",
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
        "The mean prediction when only “{column}” changes; the dark band is what the model does not know of it, the light one "
        "is where a new value would fall.",
        "「{column}」だけを変えたときの平均的な予測です。濃い帯はモデルの知識不足、淡い帯は新しい値が入ると見込まれる範囲です。",
    ),
    "dependence.numbers.alt": Text(
        "Partial dependence on {column}: from {first} at {start} to {last} at {end}; least {low}, greatest {high}. The "
        "standard deviation from lack of knowledge goes up to {epistemic}.",
        "{column}への依存。{start}のとき{first}、{end}のとき{last}。最小{low}、最大{high}。知識不足による標準偏差は最大{epistemic}です。",
    ),
    "dependence.classes.says": Text(
        "The mean probability of the classes when only “{column}” changes; the bands are what the model does not know of it.",
        "「{column}」だけを変えたときの各クラスの平均確率です。帯はモデルの知識不足による幅です。",
    ),
    "dependence.classes.alt": Text(
        "Partial dependence of class probabilities on {column}: {pairs}.", "{column}に対する各クラスの確率：{pairs}。"
    ),
    "dependence.class_range": Text("“{name}” from {low} to {high}", "「{name}」は{low}から{high}"),
    "dependence.epistemic": Text("epistemic std", "知識不足の標準偏差"),
    "dependence.total": Text("total std", "合計の標準偏差"),
    "dependence.levels": Text(
        "{count} rarer values are not shown.", "これより少ない値{count}種類は省いています。"
    ),
    "dependence.some_classes": Text(
        "The {shown} most frequent of {classes} classes are drawn.", "{classes}クラスのうち、多い{shown}クラスを描いています。"
    ),
    # -- training
    "section.training": Text("Training", "学習の経過"),
    "training.title": Text("Training curve", "学習曲線"),
    "training.says": Text(
        "The loss says how badly the model explains the data it learns from; training is done when the curve no longer falls.",
        "損失は学習データの説明がどれだけ悪いかを表します。曲線が下がらなくなれば学習は十分です。",
    ),
    "training.alt": Text(
        "Training loss over {epochs} passes, from {first} to {last} nats per row.{validation}",
        "{epochs}エポックの学習損失。{first}から{last}（nat／行）へ変化。{validation}",
    ),
    "training.validation": Text(
        " The loss on held-out rows is {best} at its best.", "検証用の行での損失は最小で{best}です。"
    ),
    "training.none": Text(
        "The model file holds no training curve.", "モデルのファイルには学習曲線が含まれていません。"
    ),
    # -- what was done
    "section.done": Text("What was done", "実施した内容"),
    "done.model": Text("The model", "モデル"),
    "done.this": Text("This report", "このレポート"),
    "done.settings": Text("How it was fitted", "学習の設定"),
    "done.candidates": Text("Chosen by held-out data", "検証用データによる選択"),
    "done.candidates.says": Text(
        "Each setting was trained on a part of the table and scored on {rows} held out; the first was chosen. A larger "
        "log-likelihood is better.",
        "各設定を表の一部で学習し、残した{rows}で評価しました。最初の設定を採用しています。対数尤度は大きいほど良い値です。",
    ),
    "done.columns": Text("Columns used", "使った列"),
    "done.left_out": Text("Columns left out", "使わなかった列"),
    "done.left_out.none": Text("None: every column of the training table is used.", "ありません。学習データのすべての列を使っています。"),
    "done.more_columns": Text("{count} further columns are not listed.", "ほか{count}列は省略しています。"),
    "done.name": Text("What", "項目"),
    "done.value": Text("Value", "値"),
    "done.column": Text("Column", "列"),
    "done.kind": Text("Kind", "種類"),
    "done.missing": Text("Missing in training", "学習データの欠損"),
    "done.range": Text("Range or values in training", "学習データの範囲・値"),
    "done.reason": Text("Reason", "理由"),
    "done.task": Text("Task", "課題"),
    "done.target": Text("Target", "予測する列"),
    "done.trained": Text("Rows of the training table", "学習データの行数"),
    "done.rows": Text("Rows of this table", "この表の行数"),
    "done.scored": Text("Rows with a true value", "正解のある行数"),
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
    # -- the toolbar of a picture
    "bar.Zoom": Text("Zoom: drag a rectangle", "ズーム（範囲をドラッグ）"),
    "bar.Pan": Text("Pan", "移動"),
    "bar.Zoom in": Text("Zoom in", "拡大"),
    "bar.Zoom out": Text("Zoom out", "縮小"),
    "bar.Autoscale": Text("Fit to the data", "データに合わせる"),
    "bar.Reset axes": Text("Reset the axes", "軸を元に戻す"),
    "bar.Download plot as a PNG": Text("Save as a picture", "画像として保存"),
}
