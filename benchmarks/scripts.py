"""Neighbours of catalogues in scripts that SudachiPy does not know, compared with character TF-IDF.

Each catalogue is made up: 200 titles, ten of each of twenty products. A product has several names
that share characters, as shops write them, among words that all products share: a brand, what it
is like, a colour, a size. `nitamono run` makes the neighbours, with its defaults. Precision@9 is
the share of an item's nine nearest that are the same product. TF-IDF is scikit-learn's, of one to
three characters (of two to three inside words, char_wb, as well): the better of both counts.
"""

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.dataset as ds
from sklearn.feature_extraction.text import TfidfVectorizer

_SAME = 9


class Vocabulary(NamedTuple):
    """Words of a language; a product's names are separated by bars, words by commas.

    Attributes:
        products: twenty products.
        shared: brands, qualities, colours and sizes.
        space: what stands between two words.
    """

    products: str
    shared: tuple[str, str, str, str]
    space: str = " "


VOCABULARIES = {
    "Korean": Vocabulary(
        "무선 이어폰|무선이어폰|블루투스 이어폰,휴대폰 케이스|핸드폰케이스|휴대폰케이스,"
        "보조 배터리|보조배터리|대용량보조배터리,충전 케이블|고속충전케이블|충전케이블,"
        "기계식 키보드|기계식키보드|게이밍키보드,무선 마우스|무선마우스|게이밍마우스,"
        "남성 반팔티셔츠|반팔 티셔츠|반팔티셔츠,여성 원피스|롱원피스|여름원피스,"
        "운동화|런닝운동화|남녀공용 운동화,등산 배낭|등산배낭|여행용배낭,"
        "전기 밥솥|전기밥솥|압력밥솥,커피 머신|커피머신|캡슐커피머신,"
        "진공 청소기|무선청소기|진공청소기,공기 청정기|공기청정기|소형공기청정기,"
        "스테인리스 텀블러|보온텀블러|텀블러,고양이 사료|고양이사료|캣사료,"
        "강아지 간식|강아지간식|애견간식,주방 세제|주방세제|친환경주방세제,"
        "순면 이불|차렵이불|순면이불,캠핑 의자|캠핑의자|접이식의자",
        ("한빛,나래,가온,다솜,푸른들,새벽", "국산,고급형,초경량,방수,저소음,선물용,최신형,친환경",
         "블랙,화이트,네이비,레드,그레이", "대형,중형,소형,1개,2개 세트,3개입"),
    ),
    "Thai": Vocabulary(
        "หูฟังไร้สาย|หูฟังบลูทูธ|หูฟังไร้สายบลูทูธ,เคสโทรศัพท์|เคสมือถือ|เคสโทรศัพท์มือถือ,"
        "แบตเตอรี่สำรอง|พาวเวอร์แบงค์แบตเตอรี่สำรอง|แบตสำรอง,สายชาร์จ|สายชาร์จเร็ว|สายชาร์จโทรศัพท์,"
        "คีย์บอร์ด|คีย์บอร์ดไร้สาย|คีย์บอร์ดเกมมิ่ง,เมาส์ไร้สาย|เมาส์เกมมิ่ง|เมาส์,"
        "เสื้อยืด|เสื้อยืดผู้ชาย|เสื้อยืดคอกลม,กระโปรงยาว|กระโปรง|กระโปรงผู้หญิง,"
        "รองเท้าผ้าใบ|รองเท้าวิ่ง|รองเท้ากีฬา,กระเป๋าเป้|กระเป๋าเป้เดินป่า|กระเป๋าสะพายหลัง,"
        "หม้อหุงข้าว|หม้อหุงข้าวไฟฟ้า|หม้อหุงข้าวดิจิตอล,เครื่องชงกาแฟ|เครื่องชงกาแฟแคปซูล|เครื่องทำกาแฟ,"
        "เครื่องดูดฝุ่น|เครื่องดูดฝุ่นไร้สาย|หุ่นยนต์ดูดฝุ่น,เครื่องฟอกอากาศ|เครื่องฟอกอากาศขนาดเล็ก|ฟอกอากาศ,"
        "แก้วเก็บความเย็น|แก้วน้ำสแตนเลส|แก้วเก็บความร้อน,อาหารแมว|อาหารแมวโต|อาหารเม็ดแมว,"
        "ขนมสุนัข|ขนมสุนัขโต|ขนมขัดฟันสุนัข,น้ำยาล้างจาน|น้ำยาล้างจานสูตรเข้มข้น|น้ำยาล้างจานเติม,"
        "ผ้าห่ม|ผ้าห่มนวม|ผ้าห่มผ้าฝ้าย,เก้าอี้พับ|เก้าอี้แคมป์ปิ้ง|เก้าอี้สนามพับได้",
        ("บ้านสวน,ดาวเหนือ,ทองไทย,ฟ้าใส,มณี,สยาม",
         "คุณภาพดี,ราคาถูก,รุ่นใหม่,กันน้ำ,น้ำหนักเบา,ของแท้,ส่งฟรี,พร้อมส่ง",
         "สีดำ,สีขาว,สีน้ำเงิน,สีแดง,สีเทา", "ขนาดใหญ่,ขนาดกลาง,ขนาดเล็ก,1 ชิ้น,2 ชิ้น,แพ็ค 3"),
        "",
    ),
    "Chinese": Vocabulary(
        "无线蓝牙耳机|蓝牙耳机|无线耳机,手机壳|透明手机壳|手机保护壳,充电宝|大容量充电宝|迷你充电宝,"
        "数据线|快充数据线|充电数据线,机械键盘|游戏键盘|无线键盘,无线鼠标|游戏鼠标|静音鼠标,"
        "短袖T恤|纯棉短袖T恤|男士短袖,连衣裙|碎花连衣裙|雪纺连衣裙,运动鞋|男士运动鞋|透气跑步运动鞋,"
        "双肩背包|登山背包|旅行双肩包,电饭煲|智能电饭煲|家用电饭锅,咖啡机|胶囊咖啡机|意式咖啡机,"
        "吸尘器|手持吸尘器|无线吸尘器,空气净化器|桌面净化器|家用空气净化器,保温杯|不锈钢保温杯|便携保温水杯,"
        "猫粮|成猫粮|全价猫粮,狗零食|宠物狗零食|狗狗磨牙零食,洗洁精|浓缩洗洁精|果蔬洗洁精,"
        "棉被|冬季棉被|纯棉被子,折叠椅|户外折叠椅|露营折叠椅子",
        ("云溪,海棠,松鹤,金沙,晨光,御品", "高档,新款,轻便,防水,静音版,礼品装,升级版,环保",
         "黑色,白色,藏青色,红色,灰色", "大号,中号,小号,1个装,2件套,三只装"),
        "",
    ),
    "Arabic": Vocabulary(
        "سماعات لاسلكية|سماعة بلوتوث|سماعات الأذن اللاسلكية,غطاء هاتف|كفر الهاتف|غطاء حماية للهاتف,"
        "بطارية متنقلة|البطارية المتنقلة|بطارية شحن متنقلة,كابل شحن|كيبل الشحن السريع|كابل الشحن,"
        "لوحة مفاتيح|لوحة المفاتيح|لوحة مفاتيح للألعاب,فأرة لاسلكية|الفأرة الضوئية|فأرة ألعاب,"
        "قميص قطني|القميص الرجالي|قميص بأكمام قصيرة,فستان طويل|فستان نسائي|الفستان الصيفي,"
        "حذاء رياضي|الحذاء الرياضي|أحذية رياضية,حقيبة ظهر|حقيبة الظهر|حقائب ظهر للسفر,"
        "طباخ أرز|طباخة الأرز|جهاز طبخ الأرز,ماكينة قهوة|آلة القهوة|ماكينة صنع القهوة,"
        "مكنسة كهربائية|المكنسة الكهربائية|مكنسة يدوية,"
        "منقي هواء|جهاز تنقية الهواء|منقي الهواء المنزلي,"
        "كوب حافظ للحرارة|كوب حراري|الكوب الحراري,طعام قطط|طعام القطط|طعام جاف للقطط,"
        "وجبات كلاب|وجبات خفيفة للكلاب|مكافآت الكلاب,سائل جلي|سائل غسيل الصحون|سائل الجلي,"
        "لحاف قطني|اللحاف الشتوي|لحاف سرير,كرسي قابل للطي|كرسي التخييم|كرسي رحلات للتخييم",
        ("النور,الواحة,الفجر,الصقر,الياسمين,الندى",
         "عالي الجودة,جديد,خفيف الوزن,مقاوم للماء,فاخر,أصلي,هدية مميزة,اقتصادي",
         "أسود,أبيض,كحلي,أحمر,رمادي", "كبير,متوسط,صغير,قطعة واحدة,قطعتان,عبوة 3"),
    ),
}  # fmt: skip


def titles(words: Vocabulary) -> list[tuple[str, int]]:
    """Make a catalogue: titles, and the product of each."""
    rng = random.Random(0)  # noqa: S311 - made-up data
    brands, qualities, colours, sizes = (group.split(",") for group in words.shared)
    rows = []
    for product, names in enumerate(words.products.split(",")):
        for _ in range(_SAME + 1):
            parts = [rng.choice(names.split("|")), *rng.sample(qualities, 2), rng.choice(colours)]
            rng.shuffle(parts)
            title = words.space.join([rng.choice(brands), *parts, rng.choice(sizes)])
            rows.append((title, product))
    return rows


def tfidf_neighbors(texts: list[str], analyzer: str) -> np.ndarray:
    """Find the nearest texts by the cosine of character TF-IDF: int[n, 9]."""
    shortest = {"char": 1, "char_wb": 2}[analyzer]
    vectorizer = TfidfVectorizer(analyzer=analyzer, ngram_range=(shortest, 3), sublinear_tf=True)
    vectors = vectorizer.fit_transform(texts)
    scores = (vectors @ vectors.T).toarray()
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :_SAME]


def product_neighbors(texts: list[str], folder: Path) -> np.ndarray:
    """Find the nearest texts with `nitamono run`: int[n, 9], -1 where there is none."""
    with (folder / "items.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("item_id", "title"), *enumerate(texts)])
    settings = [f"store.path={folder / 'store'}", f"catalogue.path={folder / 'items.csv'}"]
    settings += [f"neighbors.k={_SAME}", "spark.spark.ui.enabled=false"]
    code = "from pipeline.cli.main import main; raise SystemExit(main())"
    options = [word for setting in settings for word in ("--set", setting)]
    (folder / "empty.toml").write_text("")
    subprocess.run(  # noqa: S603 - the product's own command
        [sys.executable, "-c", code, "run", "--config", folder / "empty.toml", *options],
        check=True,
        capture_output=True,
    )
    tables = folder / "store/tables/similar_items"
    version = json.loads((tables / "LATEST").read_text())["version"]
    table = ds.dataset(tables / f"version={version}").to_table().to_pydict()
    nearest = np.full((len(texts), _SAME), -1)
    for item, rank, other in zip(table["item_id"], table["rank"], table["similar_id"], strict=True):
        nearest[int(item), rank - 1] = int(other)
    return nearest


def precision(products: list[int], nearest: np.ndarray) -> float:
    """Compute the mean share of neighbours that are the same product."""
    known = np.array([*products, -1])
    return float((known[nearest] == np.array(products)[:, None]).mean())


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    arguments = parser.parse_args()
    results = {}
    print(f"{'':10}{'nitamono':>10}{'char':>10}{'char_wb':>10}")
    for language, words in VOCABULARIES.items():
        texts, products = map(list, zip(*titles(words), strict=True))
        with tempfile.TemporaryDirectory(prefix="nitamono-benchmark-") as folder:
            line = {"nitamono": precision(products, product_neighbors(texts, Path(folder)))}
        for analyzer in ("char", "char_wb"):
            line[analyzer] = precision(products, tfidf_neighbors(texts, analyzer))
        results[language] = line
        print(f"{language:10}" + "".join(f"{value:10.3f}" for value in line.values()), flush=True)
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
