"""Write the sample catalogues: an invented shop on two nights, the same files at every run.

Every brand, product and sentence is invented. night1.csv is the catalogue of one night,
night2.csv of the next: items are new, changed or gone. Both hold the invalid and odd rows of real
catalogues, at fixed positions (see `add_odd_rows`).
"""

import csv
import random
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

SEED = 20
ITEMS = 2_000
NEW, CHANGED, REMOVED, REPRICED = 40, 20, 15, 60
FIELDS = ("item_id", "title", "description", "category", "brand", "group_id", "price", "stock")
# Columns that nitamono does not know of, until `catalogue.columns` maps them.
FURTHER = ("seller", "sold", "released")
SELLERS = ("東町店", "みどり商会", "SHOP K", "北海市場", "なないろ")


@dataclass(frozen=True)
class Kind:
    """A kind of product: the parts of its titles and descriptions."""

    category: str
    brands: tuple[str, ...]
    names: tuple[str, ...]
    features: tuple[str, ...]
    sentences: tuple[str, ...]
    variants: tuple[str, ...]
    price: tuple[int, int]
    model: str = ""


KINDS = (
    Kind("家電/オーディオ", ("ミナトオーディオ", "KAZEHA", "ソノリス"),
         ("ワイヤレスイヤホン", "ヘッドホン", "Bluetoothスピーカー", "骨伝導イヤホン"),
         ("ノイズキャンセリング", "防水 IPX5", "ハイレゾ対応", "低遅延モード", "外音取り込み"),
         ("長時間の再生でも耳が疲れにくい設計です。", "ケースを開けるだけで自動的につながります。",
          "通話用マイクを内蔵し、会議にも使えます。", "低音の響きにこだわりました。"),
         ("ブラック", "ホワイト", "ネイビー", "ローズピンク"), (2980, 29800), "KH"),
    Kind("家電/キッチン家電", ("タカネ電器", "HOKUTO", "まどか"),
         ("IH炊飯器", "電気ケトル", "オーブントースター", "コーヒーメーカー", "ホットプレート"),
         ("5.5合炊き", "3合炊き", "1.0L", "温度調節機能付き", "タイマー付き", "省エネ"),
         ("毎日の料理がもっと楽しくなる一台です。", "お手入れは内釜を洗うだけで簡単です。",
          "コンパクトなので一人暮らしにもおすすめ。", "沸騰後は自動で電源が切れます。"),
         ("ホワイト", "ブラック", "レッド"), (3480, 45800), "TN"),
    Kind("家電/掃除機", ("タカネ電器", "ソウジロウ", "HOKUTO"),
         ("コードレス掃除機", "ロボット掃除機", "布団クリーナー", "ハンディクリーナー"),
         ("軽量1.2kg", "サイクロン式", "水拭き対応", "静音設計", "自動ゴミ収集"),
         ("髪の毛がからみにくいブラシを採用しました。", "壁際のゴミまでしっかり吸い取ります。",
          "フィルターは水洗いできます。", "運転音を抑え、夜でも使いやすい設計です。"),
         ("シルバー", "ホワイト", "ゴールド"), (5980, 69800), "VC"),
    Kind("パソコン/周辺機器", ("ルミナテック", "KAZEHA", "Northpeak"),
         ("ワイヤレスマウス", "メカニカルキーボード", "USBハブ", "モバイルバッテリー", "Webカメラ"),
         ("静音ボタン", "USB Type-C", "10000mAh", "テンキーレス", "フルHD", "4ポート"),
         ("在宅勤務のデスクをすっきりさせます。", "差し込むだけで使え、ドライバーは不要です。",
          "持ち運びに便利な軽量ボディです。", "急速充電に対応しています。"),
         ("ブラック", "グレー", "ホワイト"), (1280, 15800), "LT"),
    Kind("ファッション/レディース", ("花緒", "Mellow Rue", "あさぎ堂"),
         ("ロングワンピース", "プリーツスカート", "カーディガン", "ワイドパンツ", "ブラウス"),
         ("花柄", "綿100%", "体型カバー", "洗える", "春夏", "秋冬", "ウエストゴム"),
         ("さらりとした肌ざわりで一日中快適です。", "一枚でも重ね着でも着られます。",
          "しわになりにくい素材を使いました。", "通勤にも休日にも合わせやすい色です。"),
         ("S", "M", "L", "LL"), (1990, 9800)),
    Kind("ファッション/メンズ", ("藍屋", "Northpeak", "OKAZAKI WORKS"),
         ("Tシャツ", "ポロシャツ", "チノパン", "マウンテンパーカー", "スウェット"),
         ("吸汗速乾", "厚手", "撥水", "大きいサイズ", "無地", "裏起毛"),
         ("洗濯を重ねても型くずれしにくい生地です。", "ゆったりとした着心地です。",
          "アウトドアから普段着まで幅広く使えます。", "縫い目を減らして肌あたりを軽くしました。"),
         ("M", "L", "XL", "3L"), (1490, 12800)),
    Kind("シューズ/スニーカー", ("Northpeak", "ハヤテ", "Mellow Rue"),
         ("スニーカー", "ランニングシューズ", "スリッポン", "ウォーキングシューズ"),
         ("軽量", "幅広3E", "通気性メッシュ", "厚底", "防水"),
         ("足裏をやさしく支える中敷きを入れました。", "長く歩いても疲れにくい靴底です。",
          "かかとを踏まずに履ける形です。", "雨の日でも滑りにくくなっています。"),
         ("23.0cm", "24.5cm", "26.0cm", "27.5cm"), (2980, 14800)),
    Kind("食品/米・パン", ("みのり農園", "北の穂", "白峰ファーム"),
         ("こしひかり", "あきたこまち", "無洗米", "玄米", "食パン"),
         ("5kg", "10kg", "新米", "令和産", "農薬節減", "真空パック"),
         ("契約農家で大切に育てました。", "精米してすぐにお届けします。",
          "ふっくらとした炊き上がりが自慢です。", "冷めてもおいしく、お弁当にも向いています。"),
         ("1袋", "2袋セット", "3袋セット"), (1280, 8980)),
    Kind("食品/スイーツ", ("菓子工房つきみ", "パティスリー雲雀", "白峰ファーム"),
         ("チーズケーキ", "抹茶ロールケーキ", "焼き菓子詰め合わせ", "生チョコレート", "どら焼き"),
         ("ギフト", "個包装", "冷凍", "北海道産生クリーム使用", "甘さ控えめ"),
         ("贈り物にもご自宅用にもどうぞ。", "職人が一つずつ手作りしています。",
          "解凍後は二日以内にお召し上がりください。", "お茶の時間にぴったりの味わいです。"),
         ("4個入り", "8個入り", "12個入り"), (980, 5980)),
    Kind("ドリンク/水・お茶", ("清流堂", "茶々屋", "みなも飲料"),
         ("天然水", "緑茶", "麦茶", "炭酸水", "ルイボスティー"),
         ("500ml", "2L", "ラベルレス", "国産茶葉", "強炭酸", "カフェインレス"),
         ("毎日の水分補給に。", "すっきりとした後味です。",
          "箱のまま保管できる備蓄用としても。", "香りを残すため低温で抽出しました。"),
         ("24本", "48本", "12本"), (880, 4980)),
    Kind("ビューティー/スキンケア", ("ひとしずく", "Lumière Botan", "肌音"),
         ("化粧水", "乳液", "美容液", "クレンジングオイル", "洗顔フォーム"),
         ("保湿", "敏感肌", "無香料", "セラミド配合", "ビタミンC誘導体", "毛穴ケア"),
         ("肌にすっとなじみ、うるおいが続きます。", "朝晩のお手入れにお使いください。",
          "香料と着色料を使っていません。", "乾燥が気になる季節に。"),
         ("150ml", "300ml", "詰め替え用"), (780, 6980)),
    Kind("日用品/洗剤・紙", ("しろかね石けん", "まどか", "ふわり製紙"),
         ("洗濯洗剤", "柔軟剤", "トイレットペーパー", "食器用洗剤", "ティッシュペーパー"),
         ("大容量", "無添加", "ダブル", "部屋干し", "詰め替え", "除菌"),
         ("まとめ買いで買い物の手間が減ります。", "少ない量でもよく落ちます。",
          "肌にやさしい使い心地です。", "置き場所を取らない形にしました。"),
         ("1個", "6個セット", "12個セット"), (298, 4980)),
    Kind("インテリア/収納", ("木の間工房", "くらし日和", "OKAZAKI WORKS"),
         ("カラーボックス", "本棚", "テレビ台", "衣装ケース", "スチールラック"),
         ("幅60cm", "幅90cm", "3段", "キャスター付き", "組み立て簡単", "木目調"),
         ("すき間を無駄なく使える寸法です。", "工具なしで組み立てられます。",
          "部屋になじむ落ち着いた色合いです。", "棚板の高さは変えられます。"),
         ("ナチュラル", "ブラウン", "ホワイト"), (1980, 24800)),
    Kind("スポーツ/アウトドア", ("やまびこ", "Northpeak", "ハヤテ"),
         ("ワンタッチテント", "寝袋", "アウトドアチェア", "クーラーボックス", "ヨガマット"),
         ("2人用", "4人用", "折りたたみ", "耐水圧2000mm", "収納袋付き", "厚さ10mm"),
         ("設営は一人でも数分で終わります。", "車に積みやすい大きさにたためます。",
          "初心者の方にもおすすめです。", "朝晩の冷え込みにも備えられます。"),
         ("グリーン", "ベージュ", "オレンジ"), (1680, 32800)),
    Kind("ペット/用品", ("わんにゃん舎", "まどか", "みのり農園"),
         ("ドッグフード", "キャットフード", "猫砂", "ペットベッド", "犬用おやつ"),
         ("国産", "成犬用", "子猫用", "穀物不使用", "消臭", "洗える"),
         ("食いつきの良さで選ばれています。", "大切な家族の毎日を支えます。",
          "小粒なので小型犬にも与えやすくなっています。", "においをしっかり閉じ込めます。"),
         ("1袋", "3袋セット", "6袋セット"), (480, 6980)),
    Kind("English/Kitchen & Home", ("Northpeak", "Lumière Botan", "Mellow Rue"),
         ("Stainless Steel Water Bottle", "Ceramic Coffee Mug", "Cast Iron Skillet",
          "Bamboo Cutting Board", "Scented Soy Candle"),
         ("Leak-Proof", "Dishwasher Safe", "Handmade", "Extra Large", "BPA-Free", "Gift Box"),
         ("Made to be used every day.", "Keeps drinks cold for hours.",
          "Easy to clean and kind to the hands.", "A lovely present for any season."),
         ("350ml", "500ml", "1L"), (980, 7980), "NP"),
    Kind("English/Snacks", ("Northpeak", "Shiromine Farm", "Hibari"),
         ("Chocolate Chip Cookies", "Roasted Almonds", "Matcha Granola", "Rice Crackers"),
         ("Organic", "Lightly Salted", "Gluten Free", "Family Size", "No Added Sugar"),
         ("Baked in small batches.", "A crunchy treat for the afternoon.",
          "Made with simple ingredients.", "Resealable bag keeps it fresh."),
         ("100g", "250g", "1kg"), (380, 3980)),
)  # fmt: skip

PROMOTIONS = (
    "【送料無料】", "【ポイント10倍】", "【期間限定】", "★楽しいお買い物祭★", "≪あす楽≫",
    "【2点で5%OFFクーポン】", "[SALE] ",
)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """A row of the catalogue."""

    item_id: str
    title: str
    description: str
    category: str
    brand: str
    group_id: str
    price: str
    stock: str


def product(rng: random.Random, number: int, start: int) -> list[Item]:
    """The variants of one product: they share its group, brand, name and description."""
    kind = rng.choice(KINDS)
    brand, name = rng.choice(kind.brands), rng.choice(kind.names)
    features = rng.sample(kind.features, rng.randint(1, 3))
    model = ""
    if kind.model:
        model = f" {kind.model}-{rng.randint(10, 99)}{rng.choice('ABCX')}{rng.randint(1, 9)}00"
    sentences = rng.sample(kind.sentences, rng.randint(1, len(kind.sentences)))
    description = "" if rng.random() < 0.15 else describe(rng, name, features, sentences)
    price = rng.randint(*kind.price) // 10 * 10 + 8
    separator = rng.choice((" ", "　"))
    items = []
    for offset, variant in enumerate(rng.sample(kind.variants, rng.randint(1, len(kind.variants)))):
        promotion = rng.choice(PROMOTIONS) if rng.random() < 0.35 else ""
        words = [f"{promotion}{brand}", f"{name}{model}", *features, variant]
        items.append(
            Item(
                item_id=f"SKU-{start + offset:05d}",
                title=widen(rng, separator.join(words)),
                description=description,
                category=kind.category,
                brand=brand,
                group_id=f"G{number:04d}",
                price=str(price),
                stock=str(rng.choice((0, 3, 12, 40, 150))),
            )
        )
    return items


def describe(rng: random.Random, name: str, features: list[str], sentences: list[str]) -> str:
    """A description: plain, in lines, or as the HTML that shops paste in."""
    style = rng.random()
    if style < 0.6:
        return "".join(sentences) if name[0] > "z" else " ".join(sentences)
    if style < 0.8:
        return "\n".join(f"・{feature}" for feature in features) + "\n" + "\n".join(sentences)
    points = "".join(f"<li>{feature}&nbsp;</li>" for feature in features)
    body = "<br>".join(sentences)
    return f'<div class="spec"><h3>{name} &amp; more</h3><ul>{points}</ul><p>{body}</p></div>'


def widen(rng: random.Random, title: str) -> str:
    """Write one title in eight in full-width letters and digits, as some shops do."""
    if rng.random() > 0.12:
        return title
    wide = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}
    return title.translate(wide)


def catalogue(rng: random.Random, size: int) -> list[Item]:
    """Products until there are `size` items."""
    items: list[Item] = []
    number = 0
    while len(items) < size:
        number += 1
        items += product(rng, number, len(items) + 1)
    return items[:size]


def next_night(rng: random.Random, items: list[Item]) -> list[Item]:
    """The next night's catalogue: items gone, changed, with a new price, and new."""
    order = rng.sample(range(len(items)), REMOVED + CHANGED + REPRICED)
    gone, changed = set(order[:REMOVED]), set(order[REMOVED : REMOVED + CHANGED])
    repriced = set(order[REMOVED + CHANGED :])
    after = []
    for place, item in enumerate(items):
        if place in changed:
            item = replace(item, title=f"{item.title} リニューアル版")
        elif place in repriced:
            item = replace(item, price=str(int(item.price) + 100), stock="0")
        if place not in gone:
            after.append(item)
    new: list[Item] = []
    number = 9000
    while len(new) < NEW:
        number += 1
        new += product(rng, number, 90_001 + len(new))
    return after + new[:NEW]


def add_odd_rows(items: list[Item]) -> list[Item]:
    """The catalogue with invalid and odd rows, which a run must survive."""
    rows = list(items)
    # The same id twice: once with the same text, once with another.
    rows.insert(300, rows[12])
    rows.insert(900, replace(rows[40], title="旧データ", description=""))
    # No id; white space for an id.
    rows.insert(500, replace(rows[70], item_id=""))
    rows.insert(501, replace(rows[71], item_id="　 "))
    # No text at all; text that holds no word.
    rows.insert(700, replace(rows[80], item_id="DIRTY-EMPTY", title="", description=""))
    rows.insert(701, replace(rows[81], item_id="DIRTY-MARKUP", title="<br>", description="&nbsp;"))
    # Quotes, commas and line breaks inside fields; an id with odd characters; a price in words.
    rows.insert(
        800,
        replace(
            rows[90],
            item_id='DIRTY/"odd", 商品#1',
            title='木製 "北欧風" スツール, 丸型',
            description="一行目\n二行目, 続き\r\n三行目",
            price="要問合せ",
        ),
    )
    # A description of 200 kB: a shop's terms of sale.
    terms = "返品は到着後7日以内にご連絡ください。<br>お支払い方法は下記をご確認ください。\n"
    long = (terms * (200_000 // len(terms.encode()) + 1)).encode()[:200_000].decode(errors="ignore")
    rows.insert(1000, replace(rows[95], item_id="DIRTY-LONG", description=long))
    return rows


def further(item: Item) -> tuple[str, str, str]:
    """Who sells an item, how many were sold in a month, and the day that it came out.

    They follow from the group and the id, so both nights have the same.
    """
    rng = random.Random(f"{SEED} {item.group_id}")  # noqa: S311 - sample data
    seller = rng.choice(SELLERS)
    released = date(2026, 6, 1) - timedelta(days=int(rng.paretovariate(0.7) * 20) % 900)
    own = random.Random(f"{SEED} {item.item_id}")  # noqa: S311 - sample data
    sold = int(own.paretovariate(0.8)) - 1
    return seller, str(min(sold, 5000)), "" if own.random() < 0.05 else released.isoformat()


def write(path: Path, items: list[Item]) -> None:
    """Write a catalogue as UTF-8 CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*FIELDS, *FURTHER))
        rows = ([*(getattr(item, name) for name in FIELDS), *further(item)] for item in items)
        writer.writerows(rows)


def main() -> None:
    """Write both nights beside this file."""
    rng = random.Random(SEED)  # noqa: S311 - sample data
    folder = Path(__file__).parent
    first = catalogue(rng, ITEMS)
    write(folder / "night1.csv", add_odd_rows(first))
    write(folder / "night2.csv", add_odd_rows(next_night(rng, first)))


if __name__ == "__main__":
    main()
