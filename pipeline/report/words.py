"""What a run's page says, in both languages; `{name}` is filled in by the page."""

# Each text in English and in Japanese.
_TEXTS: dict[str, tuple[str, str]] = {
    "language": ("日本語", "English"),
    "language_label": ("Switch to Japanese", "英語に切り替える"),
    "theme_dark": ("Dark", "ダーク"),
    "theme_light": ("Light", "ライト"),
    "theme_label": ("Switch between light and dark", "明るい表示と暗い表示を切り替える"),
    "skip": ("Skip to the verdict", "判定へ移動"),
    "contents": ("Contents", "目次"),
    "run": ("Run {run}", "実行 {run}"),
    "started": ("started {time}", "{time} 開始"),
    "took": ("took {time}", "所要 {time}"),
    "table": ("as a table", "表で見る"),
    "chart": ("Chart: {name}", "グラフ：{name}"),
    "nothing": ("none", "なし"),
    "unknown": (
        "The run did not come to a table, so there is less to show here.",
        "表の作成まで進まなかったため、表示できる項目が限られています。",
    ),
    "seconds": ("{n} s", "{n} 秒"),
    "minutes": ("{m} min {s} s", "{m} 分 {s} 秒"),
    "hours": ("{h} h {m} min", "{h} 時間 {m} 分"),
    # The verdict
    "published": ("Published", "公開済み"),
    "held_back": ("Held back", "公開を保留"),
    "failed": ("Failed", "失敗"),
    "died": ("Broken off", "中断"),
    "running": ("Under way", "実行中"),
    "done": ("Done, not published", "完了（公開なし）"),
    "why_published": (
        "The table passed every check below; readers were given version {version}.",
        "下の検査すべてに合格し、バージョン {version} が公開されました。",
    ),
    "why_waived": (
        "Version {version} was published although a figure below is beyond its limit: "
        "the run was told to.",
        "下の値のうち限度を外れたものがありますが、"
        "指示に従ってバージョン {version} を公開しました。",
    ),
    "why_held_back": (
        "The table was made, but it failed a check. "
        "What was published before is still what readers get.",
        "表は作成されましたが、検査に合格しませんでした。前回公開した表がそのまま使われます。",
    ),
    "why_failed": (
        "The run ended before it could publish a table. "
        "What was published before is still what readers get.",
        "表を公開する前に実行が終わりました。前回公開した表がそのまま使われます。",
    ),
    "why_died": (
        "The process is gone, and it did not say why. "
        "What was published before is still what readers get.",
        "処理が理由を残さずに終わっています。前回公開した表がそのまま使われます。",
    ),
    "why_running": (
        "The run had not ended when this page was made.",
        "このページを作った時点では、まだ実行中でした。",
    ),
    "why_done": (
        "The run did what it was asked for. It was an experiment or only a part of the stages, "
        "so what is published stays as it was.",
        "指示された処理は完了しました。実験、または一部の段階だけの実行なので、"
        "公開中の表は変わっていません。",
    ),
    "said": ("What the run said", "実行時のメッセージ"),
    "checks": ("What the gate looked at", "公開前の検査"),
    "no_checks": (
        "Nothing was checked: the run did not come to the gate.",
        "検査の段階まで進まなかったため、検査結果はありません。",
    ),
    "check_recall": ("Recall", "再現率"),
    "check_without": ("Items without a neighbour", "類似商品がない商品の割合"),
    "check_rows": (
        "Rows, beside the version published before",
        "行数（前回の公開分との比）",
    ),
    "check_coverage": (
        "Items with neighbours, beside the version published before",
        "類似商品がある商品の数（前回の公開分との比）",
    ),
    "check_churn": ("Neighbours replaced", "入れ替わった類似商品の割合"),
    "least": ("at least {limit}", "{limit} 以上"),
    "most": ("at most {limit}", "{limit} 以下"),
    "good": ("passed", "合格"),
    "bad": ("not passed", "不合格"),
    "waived": ("beyond the limit, allowed", "限度外（許可済み）"),
    # Key figures
    "figure_recall": ("Recall@{k}", "再現率 @{k}"),
    "figure_coverage": ("Items with neighbours", "類似商品がある商品"),
    "figure_items": ("Items", "商品数"),
    "figure_change": ("Replaced since last", "前回から入れ替わった割合"),
    "figure_time": ("Time", "所要時間"),
    "figure_first": ("nothing to compare with", "比較対象なし"),
    "interval": ("95%: {low} to {high}", "95% 区間：{low}～{high}"),
    "short_lists": ("{n} with fewer than {k}", "{k} 件に満たない商品 {n} 件"),
    "quarantined_n": ("{n} rows in quarantine", "隔離 {n} 行"),
    "of_items": ("of {n} items", "{n} 件の商品のうち"),
    "reused_n": ("{n} of {all} stages reused", "{all} 段階中 {n} 段階は再利用"),
    # Counts
    "flow": ("From the catalogue to the table", "カタログから表まで"),
    "flow_text": (
        "How many rows and items were left after each step. Nothing is dropped in silence: "
        "rows read = items + quarantine.",
        "各段階で残った行と商品の数です。読み込んだ行は、商品と隔離の合計に必ず一致します。",
    ),
    "flow_read": ("Rows read", "読み込んだ行"),
    "flow_quarantined": ("In quarantine", "隔離した行"),
    "flow_items": ("Items", "商品"),
    "flow_embedded": ("With a vector", "ベクトルがある商品"),
    "flow_listed": ("With neighbours", "類似商品がある商品"),
    "flow_rows": ("Rows of the table", "表の行数"),
    "quarantine_reasons": ("Why rows are in quarantine", "隔離した理由"),
    "unreadable_row": ("unreadable_row: the row can't be read", "unreadable_row：行を読み取れない"),
    "no_item_id": ("no_item_id: the row has no id", "no_item_id：ID がない"),
    "no_text": (
        "no_text: neither title nor description",
        "no_text：商品名も説明もない",
    ),
    "duplicate_item_id": (
        "duplicate_item_id: another row of this id, with a longer text, was kept",
        "duplicate_item_id：同じ ID で文がより長い行を採用",
    ),
    "rows_with_lost_numbers": (
        "Rows with a price or stock that is no number: {n}",
        "価格または在庫が数値でない行：{n}",
    ),
    "items_with_garbled_text": (
        "Items with characters that the encoding does not have: {n}",
        "文字化けした文字を含む商品：{n}",
    ),
    # Time
    "time": ("Time a stage", "段階ごとの時間"),
    "time_text": (
        "A stage whose code, settings and inputs have not changed is taken over from an earlier "
        "run; its bar is pale and shows what it took then.",
        "コード・設定・入力が変わっていない段階は、以前の実行結果を再利用します。"
        "再利用した段階は淡い棒で、そのときにかかった時間を示します。",
    ),
    "stage": ("Stage", "段階"),
    "time_column": ("Seconds", "秒"),
    "made_by": ("Made by run", "作成した実行"),
    "why_full": ("All anew, because", "全件やり直した理由"),
    "reused": ("{time}, reused", "{time}（再利用）"),
    # Recall
    "recall": ("Recall", "再現率"),
    "recall_text": (
        "Of the neighbours that an exact search finds, the share that is in the table. "
        "Measured on {n} items; the bar is the 95% interval, the line what is wanted at least.",
        "総当たりの検索で見つかる類似商品のうち、表にも入っているものの割合です。"
        "{n} 件の商品で測りました。帯は 95% 区間、縦線は必要な最小値です。",
    ),
    # Scores
    "scores": ("Scores", "スコアの分布"),
    "scores_text": (
        "How alike neighbours are, by cosine: 1 is the same, 0 has nothing in common. "
        "Bars count all pairs of the table.",
        "類似度（コサイン）の分布です。1 は同じ、0 は共通点なしを表します。"
        "棒は表のすべての組を数えたものです。",
    ),
    "score": ("Score", "スコア"),
    "pairs": ("Pairs", "組の数"),
    "median_all": ("median of all: {n}", "全体の中央値：{n}"),
    "median_first": ("median of each first: {n}", "1 位の中央値：{n}"),
    "quantile": ("Share below", "下からの割合"),
    "all_ranks": ("All", "全体"),
    "first_rank": ("First", "1 位"),
    # Coverage
    "coverage": ("Coverage and short lists", "網羅率と短いリスト"),
    "coverage_text": (
        "{share} of the items have at least one neighbour. Items with fewer than the {k} that were "
        "asked for: {short}.",
        "商品の {share} に類似商品が 1 件以上あります。{k} 件に満たない商品は {short} 件です。",
    ),
    "reason": ("Reason", "理由"),
    "items_column": ("Items", "商品数"),
    "rows_column": ("Rows", "行数"),
    "no_tokens": (
        "no_tokens: neither title nor description has a word",
        "no_tokens：商品名にも説明にも語がない",
    ),
    "no_vector": (
        "no_vector: the model knows none of the words",
        "no_vector：モデルが知っている語がない",
    ),
    "few_items": (
        "few_items: the catalogue has no more",
        "few_items：カタログの商品数が足りない",
    ),
    "few_eligible": (
        "few_eligible: all that may be shown are shown",
        "few_eligible：表示できる商品はすべて入っている",
    ),
    "rules": (
        "rules: the others that were looked at break a rule",
        "rules：ほかの候補はルールに合わない",
    ),
    "few_in_lists": (
        "few_in_lists: there were no others where it was searched",
        "few_in_lists：検索した範囲にほかの候補がない",
    ),
    # Hubs
    "hubs": ("Hubs", "表示の偏り（ハブ）"),
    "hubs_text": (
        "Whether a few items are shown everywhere while others never are.",
        "一部の商品ばかりが表示され、ほかの商品が表示されないことがないかを見ます。",
    ),
    "most_shown": ("Shown most often", "最も多く表示される商品"),
    "most_shown_text": (
        "in {n} lists; an item has {k} places to give",
        "{n} 件のリストに登場（1 件のリストは {k} 件まで）",
    ),
    "never_shown": ("Never shown", "一度も表示されない商品"),
    "never_shown_text": (
        "items that are in nobody's list: {share}",
        "どのリストにも入っていない商品：{share}",
    ),
    "gini": ("Gini coefficient", "ジニ係数"),
    "gini_text": (
        "0: all are shown equally often; 1: a single one is always shown",
        "0 ならすべて均等に表示、1 なら 1 件だけが表示されている状態",
    ),
    # Sameness
    "alike": ("Sameness", "カテゴリーの一致"),
    "alike_text": (
        "Measured on a sample of one in {n} items. No limit is set on these two: "
        "compare them from night to night.",
        "{n} 件に 1 件を選んで測りました。限度はないので、日ごとの変化を見てください。",
    ),
    "alike_all": (
        "Measured on all items. No limit is set on these two: compare them from night to night.",
        "すべての商品で測りました。限度はないので、日ごとの変化を見てください。",
    ),
    "same_category": ("Of the same category", "同じカテゴリーの割合"),
    "same_category_text": (
        "of the neighbours whose category is known",
        "カテゴリーがわかる類似商品のうち",
    ),
    "no_category": ("the catalogue has no categories", "カタログにカテゴリーがありません"),
    "duplicates": ("With the same text", "文面が同じ割合"),
    "duplicates_text": (
        "neighbours whose title and description are the item's own, word for word",
        "商品名と説明が元の商品と完全に同じ類似商品",
    ),
    # Change
    "change": ("Change since the last version", "前回の公開分からの変化"),
    "change_text": (
        "Compared with version {version}, which was published before this one.",
        "この前に公開されたバージョン {version} と比べました。",
    ),
    "change_none": (
        "There was nothing to compare with: nothing was published before, this table is the one "
        "that is published already, or the run did not publish.",
        "比較対象がありません。初めての公開か、公開中の表と同じか、公開しない実行だったためです。",
    ),
    "new_model": (
        "The two were made with different models, so large changes are to be expected.",
        "二つの版はモデルが異なるので、大きな変化があって当然です。",
    ),
    "before": ("Before", "前回"),
    "now": ("Now", "今回"),
    "difference": ("Difference", "差"),
    "change_rows": ("Rows of the table", "表の行数"),
    "change_items": ("Items with neighbours", "類似商品がある商品"),
    "change_churn": (
        "Of {entries} neighbours of {common} items that are in both, {replaced} were replaced: "
        "{share}.",
        "両方にある {common} 件の商品の類似商品 {entries} 件のうち、{replaced} 件（{share}）が"
        "入れ替わりました。",
    ),
    # The map
    "map": ("Map", "商品の地図"),
    "map_text": (
        "{n} items by their vectors, laid flat by t-SNE: what is near each other here has similar "
        "texts; distances between far groups mean little. Choose a point to look at its item.",
        "{n} 件の商品のベクトルを t-SNE で平面に並べました。近い点どうしは文面が似ています。"
        "離れた集まりどうしの距離に意味はほとんどありません。点を選ぶと商品を表示します。",
    ),
    "map_none": (
        "There is no map: it is switched off (report.map_items = 0), or there are too few items.",
        "地図はありません。無効（report.map_items = 0）か、商品が少なすぎます。",
    ),
    "legend": (
        "Categories: press one to hide or show it",
        "カテゴリー（押すと表示・非表示を切り替え）",
    ),
    "other_categories": ("other categories", "その他のカテゴリー"),
    "without_category": ("without a category", "カテゴリーなし"),
    # The browser
    "items": ("Look at items", "商品を見る"),
    "items_text": (
        "{n} items of the catalogue, chosen by a hash of their ids, with their neighbours.",
        "ID のハッシュ値で選んだ {n} 件の商品と、その類似商品です。",
    ),
    "items_left": (
        "Of {of} there was room for {n}.",
        "{of} 件のうち、容量の都合で {n} 件だけを載せています。",
    ),
    "search": ("Search by id or title", "ID または商品名で検索"),
    "results": ("{n} found", "{n} 件"),
    "results_some": (
        "{n} found, the first {shown} are listed",
        "{n} 件（先頭の {shown} 件を表示）",
    ),
    "no_results": ("Nothing found among these items.", "この中には見つかりません。"),
    "choose": ("Choose an item from the list.", "一覧から商品を選んでください。"),
    "id": ("Id", "ID"),
    "category": ("Category", "カテゴリー"),
    "brand": ("Brand", "ブランド"),
    "picture": ("Picture", "画像"),
    "picture_note": ("opens another page", "別のページを開きます"),
    "tokens": ("Tokens", "トークン"),
    "tokens_none": ("none are kept on this page", "このページには載せていません"),
    "neighbors": ("Its neighbours", "類似商品"),
    "neighbors_text": (
        "Marked are the tokens that the item shares.",
        "元の商品と共通するトークンに印を付けています。",
    ),
    "neighbors_none": (
        "This item has no neighbour in the table.",
        "この商品の類似商品は表にありません。",
    ),
    "neighbors_unknown": (
        "Its own list is not on this page: only that of the items chosen is.",
        "この商品のリストは、このページには載せていません（選ばれた商品だけを載せています）。",
    ),
    "appears": ("Is in the lists of", "この商品が入っているリスト"),
    "shares": ("{n} tokens shared", "共通トークン {n} 個"),
    "on_map": ("Show on the map", "地図で見る"),
    # Settings
    "settings": ("Settings", "設定"),
    "settings_text": (
        "Those that differ from the defaults are in bold.",
        "既定値と異なる設定は太字です。",
    ),
    "setting": ("Setting", "設定"),
    "value": ("Value", "値"),
    "made_with": (
        "Made by nitamono {version}. This page is whole in itself: it loads nothing.",
        "nitamono {version} で作成。このページは 1 ファイルで完結し、何も読み込みません。",
    ),
}

WORDS: dict[str, dict[str, str]] = {
    "en": {name: texts[0] for name, texts in _TEXTS.items()},
    "ja": {name: texts[1] for name, texts in _TEXTS.items()},
}
