"""The page around the sections."""

from __future__ import annotations

from yuragi.report.texts.text import Text

TEXTS: dict[str, Text] = {
    "page.title": Text("How far can you trust these predictions?", "この予測はどこまで信頼できるか"),
    "page.subtitle": Text(
        "Predictions of “{target}” for {rows}; the training table had {trained}.",
        "「{target}」を予測したレポートです。対象は{rows}、学習用の表は{trained}です。",
    ),
    "page.skip": Text("Skip to the results", "結果へ移動"),
    "page.contents": Text("Contents", "目次"),
    "page.dark": Text("Dark colours", "ダーク表示"),
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
        "{shown} of {rows} rows are drawn, chosen at random.",
        "{rows}行のうち無作為に選んだ{shown}行を描いています。",
    ),
    "status.good": Text("good", "良好"),
    "status.warn": Text("caution", "注意"),
    "status.bad": Text("problem", "問題あり"),
    "status.info": Text("note", "参考"),
    "bar.Zoom": Text("Zoom: drag a rectangle", "ズーム（範囲をドラッグ）"),
    "bar.Pan": Text("Pan", "移動"),
    "bar.Zoom in": Text("Zoom in", "拡大"),
    "bar.Zoom out": Text("Zoom out", "縮小"),
    "bar.Reset axes": Text("Reset the axes", "軸を元に戻す"),
    "bar.Download plot as a PNG": Text("Save as a picture", "画像として保存"),
    "page.plotly": Text(
        "The pictures are drawn by plotly.js {version} (© Plotly, Inc., MIT licence), which this file holds.",
        "図の描画には、このファイルに含まれる plotly.js {version}（© Plotly, Inc.、MITライセンス）を使っています。",
    ),
    "date.months": Text(
        "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
        "1月 2月 3月 4月 5月 6月 7月 8月 9月 10月 11月 12月",
    ),
}
