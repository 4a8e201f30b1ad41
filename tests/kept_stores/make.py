"""Make a kept store: a small one of two nights, as a release of nitamono leaves it.

    python tests/kept_stores/make.py NAME --code FOLDER

FOLDER is a checkout of the release, whose code runs; the Python that runs this script needs what
that release needs. The store, its config and its catalogues are packed into NAME.tar.xz beside this
script. Kept stores are never made again: a store that later code has written proves nothing.

What is left out of the archive: locks and logs, which name the host, and pages, which are large.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

# The config holds absolute paths of the place where the store was made; so this is no home folder.
PLACE = Path("/tmp/nitamono-kept-store")  # noqa: S108 - made empty, and removed
LEFT_OUT = ("locks", "spark.log", "report.html", "store.html")
CONFIG = """\
[store]
path = "store"

[catalogue]
path = "night1.csv"

[model]
dim = 8
epoch = 2
min_count = 1
bucket = 500

[index]
exact_below = 0
nlist = 3

[neighbors]
k = 3
target_recall = 0.5

[publish]
publish = true
max_churn = 1
min_recall = 0

[report]
map_items = 0
"""
# Id, title, description, price.
ITEMS = (
    ("t01", "青い湯のみ 大", "手になじむ厚手の湯のみです", "1200"),
    ("t02", "青い湯のみ 小", "お茶の時間に使う小さな湯のみ", "900"),
    ("t03", "白い湯のみ", "冷たいお茶にも使えます", "1000"),
    ("t04", "木の茶さじ", "茶葉をすくう木の道具", "600"),
    ("t05", "竹の茶こし", "細かい茶葉まで受ける竹の道具", "700"),
    ("t06", "急須 赤土", "赤土で焼いた急須、二人分", "3200"),
    ("t07", "急須 黒土", "黒土で焼いた急須、三人分", "3400"),
    ("t08", "鉄の薬缶", "火にかける鉄の薬缶", "5200"),
    ("t09", "茶筒 桜", "桜の皮を張った茶筒", "2600"),
    ("t10", "茶筒 銅", "銅を打って作った茶筒", "4100"),
    ("t11", "緑の湯のみ", "緑の釉薬をかけた厚手の湯のみ", "1300"),
    ("t12", "塗りの盆", "朱の漆を塗った丸い盆", "2800"),
    ("g01", "Garden trowel", "Short steel blade for pots and beds", "14"),
    ("g02", "Garden fork", "Four steel tines for heavy soil", "18"),
    ("g03", "Watering can 5 l", "Green can with a long spout", "22"),
    ("g04", "Watering can 2 l", "Small green can for seedlings", "15"),
    ("g05", "Seed tray", "Tray with a clear lid for seedlings", "9"),
    ("g06", "Clay pot small", "Pot of red clay with a saucer", "6"),
    ("g07", "Clay pot large", "Large pot of red clay with a saucer", "12"),
    ("g08", "Garden gloves", "Gloves of thin leather", "11"),
    ("g09", "Twine", "Twine of jute to tie up plants", "4"),
    ("g10", "", "", "3"),
)
NEW = ("g11", "Clay pot medium", "Pot of red clay, with no saucer", "9")


def main() -> None:
    """Run two nights by a release's code, and pack what they leave."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("name", help="the release, 0.2.0 for instance")
    parser.add_argument("--code", type=Path, required=True, help="a checkout of the release")
    parser.add_argument("--add", default="", help="further lines of the config")
    arguments = parser.parse_args()
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    (PLACE / "nitamono.toml").write_text(f"{CONFIG}{arguments.add}", encoding="utf-8")
    # The second night loses an item, changes one, and gets one: so little that it builds on the
    # first.
    _write("night1.csv", ITEMS)
    changed = ("t03", "白い湯のみ 大", "冷たいお茶にも使える大きな湯のみ", "1100")
    _write("night2.csv", (*ITEMS[:2], changed, *ITEMS[3:20], *ITEMS[21:], NEW))
    for night in ("night1", "night2"):
        _run(arguments.code.resolve(), night)
    archive = Path(__file__).with_name(f"{arguments.name}.tar.xz")
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        tar.add(PLACE, ".", filter=_anonymous)
    sys.stdout.write(f"{archive}: {archive.stat().st_size:,} bytes\n")
    shutil.rmtree(PLACE)


def _write(name: str, rows: tuple[tuple[str, ...], ...]) -> None:
    with (PLACE / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("item_id", "title", "description", "price"), *rows])


def _run(code: Path, night: str) -> None:
    """A night, by the release's code."""
    command = [sys.executable, "-m", "pipeline.cli.main", "run", "--config", "nitamono.toml"]
    command += ["--set", f"catalogue.path={night}.csv", "--run-id", night]
    environment = os.environ | {"PYTHONPATH": str(code)}
    subprocess.run(command, cwd=PLACE, env=environment, check=True)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """An entry of the archive without the user's name; None for what is left out."""
    if Path(entry.name).name in LEFT_OUT:
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    main()
