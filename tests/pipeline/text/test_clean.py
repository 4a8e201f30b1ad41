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
        ("<?xml version='1.0'?>靴<svg><path d='M0 0'/></svg>", "靴"),
        ("", ""),
        (None, ""),
    ],
)
def test_cleaning_removes_markup_and_unifies_characters(text: str | None, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('赤い靴<img src="https://shop.example/a.jp', "赤い靴"),
        ("赤い靴<br", "赤い靴"),
        ("赤い靴</b", "赤い靴"),
        ('靴<a href="x" 赤い<p>青い</p>', "靴 青い"),
        ("靴&lt;img src=&quot;a.jpg", "靴"),
        ('<img src="data:image/png;base64,iVBOR', ""),
        ("<table", ""),
        ("<!DOCTYPE html", ""),
        ("靴 <5cm", "靴 <5cm"),
        ("a < b", "a < b"),
        ("サイズ<S", "サイズ<S"),
        ("限定<NEW", "限定<NEW"),
        ("幅<i 5", "幅<i 5"),
    ],
)
def test_a_tag_that_never_closes_is_a_tag(text: str, expected: str) -> None:
    assert clean(text) == expected


_BASE64 = "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAA"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'赤い<img src="data:image/png;base64,{_BASE64}==">靴', "赤い 靴"),
        (f"赤い![](data:image/png;base64,{_BASE64}==)靴", "赤い![]( )靴"),
        (f"赤い data:font/woff;charset=utf-8;base64,{_BASE64}靴", "赤い 靴"),
        (f"赤い data:;base64,{_BASE64}\n{_BASE64}\nAAA=\n靴", "赤い 靴"),
        (f"data:image/png;base64,{_BASE64}\nLeather", "Leather"),
        ("data:image/svg+xml;utf8,%3Csvg%20 靴", "靴"),
        ("data:image/png;base64", ""),
        ("Data:Audio/Video,USB 3.0", "Data:Audio/Video,USB 3.0"),
        ("metadata:text/plain", "metadata:text/plain"),
    ],
)
def test_encoded_files_are_no_text(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('靴 {"brand": "X", "a": {"b": [1, -2.5, true, null]}, "c": "\\"}"} 下駄', "靴 下駄"),
        ("{&quot;brand&quot;: &quot;X&quot;} 靴", "靴"),
        ('靴 {"brand": "X", "siz', "靴"),
        ('{"a": 1} "赤い靴"', '"赤い靴"'),
        ('{"a": 1 赤い靴', "赤い靴"),
        ("靴 {赤: 青} {M}", "靴 {赤: 青} {M}"),
        ("靴 .item p, #main > a:hover { color: red; margin:0 } 下駄", "靴 下駄"),
        ("body{font-family:'メイリオ'}h1{margin:0 auto}靴", "靴"),
        ("@charset 'utf-8'; @media (max-width:6px) { .a { color:red } p{top:1px} } 靴", "靴"),
        ("/* 見出し */ h1 { margin:0 } 靴", "靴"),
        ("靴 .a { color: red; mar", "靴"),
        ("Shirt {color: red; size: M}", "Shirt {color: red; size: M}"),
        ("Table {width: 90cm}", "Table {width: 90cm}"),
    ],
)
def test_json_and_css_are_no_text(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_cleaning_twice_changes_nothing_more() -> None:
    text = "<p>ＸＺ−１０００B</p>か゛ ｶﾞ &amp; ㎖ 〜"
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    "hostile",
    [
        *('<a "', "<a '", "<script", "<script>", "<!--", "<p <", "&", "゛", "<p =", "<p a", "<svg"),
        *("data:", "data:;a=b", f"data:;base64,{'A' * 40}\n", '{"', '{"a":', '{"a":"', '{"\\'),
        *("{color:", ".a{color:", f"{'p ' * 200}{{top:", "a{top:}@media{", "a{top:}/*"),
    ],
)
def test_hostile_text_takes_linear_time(hostile: str) -> None:
    start = time.monotonic()
    clean(hostile * (400_000 // len(hostile)))
    assert time.monotonic() - start < 5
