"""The page as a text: whole, safe, in two languages, not too large."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.report import data, page, page_texts, run_page
from pipeline.stages.publish.sampled_rows import MAPPED, NEIGHBORS, SHOWN
from pipeline.store import reason_codes
from tests.pipeline.report import handmade
from tests.pipeline.report.scripts import Scripts

WORDS = page_texts.merge(
    page_texts.load(page.FILES / "common.toml"),
    page_texts.load(page.FILES / "run.toml"),
    reason_codes.page_texts(),
)
ODD = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "\"quoted' &amp; \\",
    "a\u2028b\u2029c",
    "🎎",
    "{{ data }}",
    "{% raw %}",
]


def page_data(folder: Path, rows: list[dict[str, Any]] | None, **changes: Any) -> dict[str, Any]:
    content = handmade.run_json(**changes)
    return data.page_data(handmade.make_store(folder, content, rows), content, 2000)


def test_no_text_gets_out_of_its_place(tmp_path: Path) -> None:
    rows = [
        handmade.example(f"{text}{n}", text, category=text, brand=text)
        for n, text in enumerate(ODD)
    ]
    content = page_data(tmp_path, rows, message=ODD[0])
    scripts = Scripts(run_page.html(content).decode())
    assert [name for name, _ in scripts.texts] == ["words", "data", None, None, None]
    assert json.loads(dict(scripts.texts)["data"]) == json.loads(json.dumps(content))
    assert json.loads(dict(scripts.texts)["words"]) == WORDS
    assert {item[1] for item in content["sample"]["items"]} == set(ODD)


def test_only_the_page_s_own_scripts_may_run_and_nothing_may_be_loaded(tmp_path: Path) -> None:
    scripts = Scripts(run_page.html(page_data(tmp_path, None)).decode())
    policy = dict(part.strip().split(" ", 1) for part in scripts.policy.split(";"))
    assert policy["default-src"] == "'none'"
    hashes = {
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for name, text in scripts.texts
        if name is None
    }
    assert set(policy["script-src"].split()) == hashes
    assert "http" not in scripts.policy


def test_a_half_character_does_not_end_the_page() -> None:
    html = page.render("a\ud800b", {"text": "a\ud800b"}, [], {"en": {}, "ja": {}}).decode()
    assert json.loads(dict(Scripts(html).texts)["data"]) == {"text": "a?b"}


def test_secrets_of_the_settings_stay_out(tmp_path: Path) -> None:
    text = run_page.html(page_data(tmp_path, None)).decode()
    assert "spark.hadoop.fs.s3a.secret.key" in text
    assert "hush" not in text


def test_both_languages_say_the_same_and_know_every_word_that_is_asked_for() -> None:
    english, japanese = WORDS["en"], WORDS["ja"]
    assert english.keys() == japanese.keys()
    for name, text in english.items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(
            re.findall(r"\{\w+\}", japanese[name])
        )
        assert text
    for name, text in japanese.items():
        assert name == "language" or re.search(r"[ぁ-ん一-龯ァ-ヶ]", text) or text in ("ID",), name
    files = [path for path in page.FILES.glob("*.js") if not path.name.startswith("store")]
    scripts = "".join(path.read_text() for path in files)
    names = set(re.findall(r'\bt\("(\w+)"', scripts)) | set(
        re.findall(r'section\("(\w+)"', scripts)
    )
    assert len(names) > 60
    assert names <= english.keys()
    started = set(re.findall(r"`(\w+_)\$\{(?:name|status)\}`", scripts))
    assert started == {"check_", "flow_", "why_"}
    assert all(any(name.startswith(start) for name in english) for start in started)


def test_the_largest_page_is_below_5_mb(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    title, tokens = "限定 送料無料 ステンレス製 保温 水筒 " * 10, " ".join(["ステンレス"] * 100)
    count = SHOWN + 20
    ids = [f"SKU-{n:030d}" for n in range(max(MAPPED, count * NEIGHBORS))]
    rows = [
        handmade.example(
            item,
            title,
            shown=n < count,
            mapped=n < MAPPED,
            title_tokens=tokens,
            description_tokens=tokens,
            image_url=f"https://pictures.example/{item}.jpg",
            half=rng.normal(size=2).astype("<f2").tobytes(),
            neighbors=[
                {"similar_id": ids[(n * NEIGHBORS + m) % len(ids)], "score": 0.5}
                for m in range(NEIGHBORS)
            ] if n < count else None,
        )
        for n, item in enumerate(ids)
    ]  # fmt: skip
    content = page_data(tmp_path, rows)
    assert len(content["sample"]["map"]) == MAPPED
    assert len(content["sample"]["shown"]) > 40
    assert 3_000_000 < len(run_page.html(content)) < 5_000_000
