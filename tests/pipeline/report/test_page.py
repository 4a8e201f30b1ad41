"""The page as a text: whole, safe, in two languages, not too large."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.report import data, page
from pipeline.report.words import WORDS
from pipeline.stages.publish.examples import MAPPED, NEIGHBORS, SHOWN
from tests.pipeline.report import hand

FILES = Path(page.__file__).with_name("files")
ODD = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "\"quoted' &amp; \\",
    "a\u2028b\u2029c",
    "🎎",
    "%%data%%",
]


class Scripts(HTMLParser):
    """The texts of script elements as a browser cuts them out, and the policy."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[tuple[str | None, str]] = []
        self.policy = ""
        self._kind: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag == "script":
            self.found.append((known.get("id"), ""))
            assert "src" not in known
        if known.get("http-equiv") == "Content-Security-Policy":
            self.policy = known["content"] or ""

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            name, text = self.found.pop()
            self.found.append((name, text + data))


def page_data(folder: Path, rows: list[dict[str, Any]] | None, **other: Any) -> dict[str, Any]:
    raw = hand.about(**other)
    return data.gather(hand.store(folder, raw, rows), raw, 2000)


def test_no_text_gets_out_of_its_place(tmp_path: Path) -> None:
    rows = [
        hand.example(f"{text}{n}", text, category=text, brand=text) for n, text in enumerate(ODD)
    ]
    found = page_data(tmp_path, rows, message=ODD[0])
    scripts = Scripts(page.html(found))
    assert [name for name, _ in scripts.found] == ["words", "data", None, None, None]
    assert json.loads(dict(scripts.found)["data"]) == json.loads(json.dumps(found))
    assert json.loads(dict(scripts.found)["words"]) == WORDS
    assert {item[1] for item in found["sample"]["items"]} == set(ODD)


def test_only_the_page_s_own_scripts_may_run_and_nothing_may_be_loaded(tmp_path: Path) -> None:
    scripts = Scripts(page.html(page_data(tmp_path, None)))
    policy = dict(part.strip().split(" ", 1) for part in scripts.policy.split(";"))
    assert policy["default-src"] == "'none'"
    hashes = {
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for name, text in scripts.found
        if name is None
    }
    assert set(policy["script-src"].split()) == hashes
    assert "http" not in scripts.policy


def test_a_half_character_does_not_end_the_page() -> None:
    assert json.loads(page.embedded(["a\ud800b"])) == ["a?b"]


def test_secrets_of_the_settings_stay_out(tmp_path: Path) -> None:
    text = page.html(page_data(tmp_path, None))
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
    scripts = "".join(path.read_text() for path in FILES.glob("*.js"))
    asked = set(re.findall(r'\bt\("(\w+)"', scripts)) | set(
        re.findall(r'section\("(\w+)"', scripts)
    )
    assert len(asked) > 60
    assert asked <= english.keys()
    started = set(re.findall(r"`(\w+_)\$\{(?:name|status)\}`", scripts))
    assert started == {"check_", "flow_", "why_"}
    assert all(any(name.startswith(start) for name in english) for start in started)


def test_the_largest_page_is_below_5_mb(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    title, tokens = "限定 送料無料 ステンレス製 保温 水筒 " * 10, " ".join(["ステンレス"] * 100)
    count = SHOWN + 20
    ids = [f"SKU-{n:030d}" for n in range(max(MAPPED, count * NEIGHBORS))]
    rows = [
        hand.example(
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
    found = page_data(tmp_path, rows)
    assert len(found["sample"]["map"]) == MAPPED
    assert len(found["sample"]["shown"]) > 40
    assert 3_000_000 < len(page.html(found).encode()) < 5_000_000
