import csv
from pathlib import Path

import pytest

from data_samples import make_samples

FOLDER = Path(make_samples.__file__).parent


def rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_script_writes_the_files_that_lie_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make_samples, "__file__", str(tmp_path / "make_samples.py"))
    make_samples.main()
    for name in ("night1.csv", "night2.csv"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


def test_the_second_night_differs_as_it_says() -> None:
    first, second = ({r["item_id"]: r for r in rows(name)} for name in ("night1.csv", "night2.csv"))
    shop = [{i for i in night if i.startswith("SKU-")} for night in (first, second)]
    assert len(shop[0]) == make_samples.ITEMS
    assert len(shop[1] - shop[0]) == make_samples.NEW
    assert len(shop[0] - shop[1]) == make_samples.REMOVED
    both = shop[0] & shop[1]
    changed = [i for i in both if first[i]["title"] != second[i]["title"]]
    repriced = [i for i in both if first[i]["price"] != second[i]["price"]]
    assert (len(changed), len(repriced)) == (make_samples.CHANGED, make_samples.REPRICED)
