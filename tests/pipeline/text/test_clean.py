import time

import pytest

from pipeline.text.clean import clean


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<p>赤い<b>靴</b></p>", "赤い 靴"),
        ("一行目<br>二行目<BR/>三行目", "一行目 二行目 三行目"),
        ("<a href='x>y' title=\">5\">靴</a>", "靴"),
        ("<script>var x = '<p>';</script>靴<style>p{}</style>", "靴"),
        ("靴<!-- <b>下書き</b> -->下駄", "靴 下駄"),
        ("靴<script>開いたまま", "靴"),
        ("A&amp;B&nbsp;C &#8226; &#x30A2;", "A&B C • ア"),
        ("R&D 特価&サイズ", "R&D 特価&サイズ"),
        ("&lt;5cm&gt; 5 < 6", "<5cm> 5 < 6"),
        ("<Blu-ray>付き <NEW>", "<Blu-ray>付き <NEW>"),
        ("&lt;br&gt;改行＜br＞&lt;/p&gt;", "改行"),
        ("サイズ&lt;S&gt;", "サイズ<S>"),
        ("ＸＺ－１０００Ｂ ㎖ ㈱", "XZ-1000B ml (株)"),
        ("ｲﾔﾎﾝ ｶﾞｿﾘﾝ", "イヤホン ガソリン"),
        ("か゛き゜ ゛", "がき"),
        ("A‐B‑C–D—E−F", "A-B-C-D-E-F"),
        ("コーヒー―豆", "コーヒー-豆"),
        ("500ml〜1L～2L", "500ml~1L~2L"),
        ("赤\u200bい\ufeff靴\u00ad", "赤い靴"),
        ("　靴\t\r\n\x00靴　", "靴 靴"),
        ("\ud800靴", "?靴"),
        ("", ""),
        (None, ""),
    ],
)
def test_cleaning_removes_markup_and_unifies_characters(text: str | None, expected: str) -> None:
    assert clean(text) == expected


def test_cleaning_twice_changes_nothing_more() -> None:
    text = "<p>ＸＺ−１０００B</p>か゛ ｶﾞ &amp; ㎖ 〜"
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    "hostile", ['<a "', "<a '", "<script", "<script>", "<!--", "<p <", "&", "゛"]
)
def test_hostile_text_takes_linear_time(hostile: str) -> None:
    start = time.monotonic()
    clean(hostile * (400_000 // len(hostile)))
    assert time.monotonic() - start < 10
