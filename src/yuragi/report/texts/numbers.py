"""Figures of predictions of a number."""

from __future__ import annotations

from yuragi.report.texts.text import Text

TEXTS: dict[str, Text] = {
    "section.quality": Text("How good are the predictions?", "予測の良さ"),
    "section.predictions": Text("The predictions", "予測"),
    "predicted.title": Text("Predicted and true values", "予測値と実際の値"),
    "predicted.says": Text(
        "Each point is a row: on the dashed line the prediction is exactly right, and the bar, which should cross "
        "that line in 90 of 100 rows, does so in {covered}.",
        "点は1行を表し、破線に近いほど予測が正確です。バーは100行中90行で破線と交わるのが想定で、"
        "実際に交わったのは{covered}でした。",
    ),
    "predicted.alt": Text(
        "Scatter plot of true against predicted values with 90 % error bars. Predictions go from {low} to {high}; "
        "{covered} of the true values are inside their error bar; the root mean squared error is {rmse}.",
        "予測値と実際の値の散布図（90%のエラーバー付き）。予測値は{low}から{high}、"
        "実際の値の{covered}がエラーバーの範囲内にあり、RMSEは{rmse}です。",
    ),
    "predicted.from": Text("predictions", "予測値の範囲"),
    "predicted.covered": Text("inside the error bar", "範囲内の割合"),
    "calibration.title": Text("Calibration", "較正（キャリブレーション）"),
    "calibration.says": Text(
        "Where the curve keeps to the dashed line, the model is right about how often a true value stays below "
        "what it names; here it is off by {area} on average.",
        "曲線が破線に沿うほど、モデルの示す「実際の値がこの値以下になる割合」は正確です。"
        "この表でのずれは平均{area}です。",
    ),
    "calibration.alt": Text(
        "Observed against promised share of true values below the predicted quantile. The calibration error is "
        "{area}; the largest gap is {gap}, where {expected} are promised and {observed} observed.",
        "予測した分位点以下になった実際の値の割合（想定と実績）。較正誤差は{area}。最大のずれは{gap}で、"
        "想定{expected}に対し実績は{observed}です。",
    ),
    "coverage.title": Text("Coverage of the intervals", "区間に入った割合"),
    "coverage.says": Text(
        "Each bar should end at its mark: of the error bars that promise {level}, {observed} hold the true value.",
        "棒の先が印と一致するのが理想です。{level}の範囲には、実際の値の{observed}が入りました。",
    ),
    "coverage.alt": Text(
        "Share of true values inside the predicted intervals: {pairs}.",
        "予測区間に実際の値が入った割合：{pairs}。",
    ),
    "coverage.pair": Text("promised {level}, observed {observed}", "想定{level}、実績{observed}"),
    "spread.title": Text("Does the error bar know where the errors are?", "誤差が大きい行を見分けているか"),
    "spread.says": Text(
        "Where the model names a larger std the errors should be larger: the line of typical errors should follow "
        "the dashed one.",
        "モデルが大きな標準偏差を示す行ほど、誤差も大きいはずです。典型的な誤差の線が破線に沿うのが理想です。",
    ),
    "spread.alt": Text(
        "Size of the error against predicted standard deviation. In the tenth of rows with the smallest std, "
        "{low_std} on average, the typical error is {low_error}; in that with the largest, {high_std}, it is "
        "{high_error}.",
        "誤差の大きさと予測した標準偏差の関係。標準偏差が最小の1割（平均{low_std}）では典型的な誤差が{low_error}、"
        "最大の1割（平均{high_std}）では{high_error}です。",
    ),
    "spread.group": Text("rows by std", "標準偏差の順位"),
    "residuals.title": Text("Errors", "誤差（残差）"),
    "residuals.says": Text(
        "The points should lie about the zero line with no shape to them; on average the true value is {bias} "
        "{side} the prediction.",
        "点が0の線のまわりに偏りなく散らばるのが理想です。実際の値は平均して予測値より{bias}{side}なっています。",
    ),
    "residuals.above": Text("above", "大きく"),
    "residuals.below": Text("below", "小さく"),
    "residuals.alt": Text(
        "True less predicted value, against the prediction, with a histogram. Mean {bias}; half of the errors are "
        "between {low} and {high}; the largest is {largest}.",
        "実際の値と予測値の差（予測値に対する散布図とヒストグラム）。平均{bias}、半数の誤差は{low}から{high}の間、"
        "最大は{largest}です。",
    ),
    "residuals.bin": Text("error", "誤差"),
    "sorted.title": Text("All predictions with their error bars", "すべての予測とその範囲"),
    "sorted.says": Text(
        "Each point is a row and the bar is where its true value should lie in 90 of 100 cases: the longer, the "
        "less sure.",
        "点は1行を表し、バーは実際の値が90%の確率で入ると見込まれる範囲です。長いほど不確かです。",
    ),
    "sorted.alt": Text(
        "Predictions in increasing order with 90 % error bars, from {low} to {high}. The median standard deviation "
        "is {std}.",
        "予測値を小さい順に並べ、90%のエラーバーを付けた図。予測値は{low}から{high}、標準偏差の中央値は{std}です。",
    ),
    "stds.title": Text("How sure the model is", "モデルの確信の度合い"),
    "stds.says": Text(
        "How many rows have an uncertainty of which size: what the model lacks in knowledge would shrink with more "
        "data, the rest is noise.",
        "不確かさの大きさごとの行数です。知識不足による分はデータを増やせば減り、残りはデータ自体のばらつきです。",
    ),
    "stds.alt": Text(
        "Histograms of the standard deviation: total with median {std}, lack of knowledge (epistemic) with median "
        "{epistemic}.",
        "標準偏差のヒストグラム。合計の中央値は{std}、知識不足（epistemic）の中央値は{epistemic}です。",
    ),
}
