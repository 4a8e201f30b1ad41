"""Cleaning: markup and characters, as the first step before tokenizing."""

import html
import re
import unicodedata

# A tag has the name of an HTML element: shops also write <Blu-ray>, <NEW> and 5<6 in titles.
_ELEMENTS = """
    a abbr acronym address applet area article aside audio b base basefont bdi bdo bgcolor big
    blink blockquote body br button canvas caption center cite code col colgroup data datalist
    dd del details dfn dialog dir div dl dt em embed fieldset figcaption figure font footer form
    frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input ins kbd label
    legend li link main map mark marquee menu meta meter nav nobr noframes noscript object ol
    optgroup option output p param picture pre progress q rp rt ruby s samp script search
    section select slot small source span strike strong style sub summary sup svg table tbody td
    template textarea tfoot th thead time title tr track tt u ul var video wbr
"""
_NAME = rf"(?:{'|'.join(sorted(_ELEMENTS.split(), key=len, reverse=True))})(?![\w-])"

# Every alternative stops at the next "<", so that hostile text costs linear time.
_HIDDEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style)(?![\w-])[^<>]*+>.*?(?:</\1\s*>|\Z)", re.I | re.S
)
_TAG = re.compile(
    rf"</?{_NAME}(?:\"[^\"<]*\"|'[^'<]*'|[^<>\"'])*+>|</?{_NAME}[^<>]*+>|<![a-z][^<>]*+>", re.I
)
# Tags that appear once entities and full-width brackets are resolved. Only these names count then:
# <S> is a size.
_LAYOUT_TAG = re.compile(
    r"</?(?:br|p|div|span|font|li|ul|ol|td|tr|th|table|tbody|img|strong|em|center|hr|h[1-6])"
    r"(?:\s[^<>]*+|/)?>",
    re.I,
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.I)

_SOUND_MARKS = {0x309B: "\u3099", 0x309C: "\u309a"}
_HYPHENS = dict.fromkeys([*range(0x2010, 0x2016), 0x2043, 0x2212, 0xFE58, 0xFE63, 0xFF0D], "-")
_TILDES = {0x301C: "~", 0x223C: "~", 0xFF5E: "~"}
# Zero-width and soft characters, and variation selectors.
_INVISIBLE = dict.fromkeys(
    [0x00AD, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065),
     *range(0xFE00, 0xFE10), 0xFEFF]
)  # fmt: skip
# Sound marks that NFKC could not combine with a letter.
_STRAY_MARK = re.compile("[\u3099\u309a]+")
_SPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


def strip_tags(text: str) -> str:
    """Replace tags, comments, and scripts and style sheets with their content, by a space each."""
    if "<" not in text:
        return text
    return _TAG.sub(" ", _HIDDEN.sub(" ", text))


def unescape_entities(text: str) -> str:
    """Resolve HTML's character references (`&amp;`, `&#8226;`) that end in a semicolon."""
    if "&" not in text:
        return text
    return _ENTITY.sub(lambda match: html.unescape(match.group()), text)


def normalize_characters(text: str) -> str:
    """Apply NFKC, use one hyphen and one tilde, compose sound marks, drop invisible characters.

    The long vowel mark is a letter and never becomes a hyphen.
    """
    text = text.translate(_SOUND_MARKS | _HYPHENS | _TILDES | _INVISIBLE)
    text = unicodedata.normalize("NFKC", text)
    return _STRAY_MARK.sub("", text).translate(_HYPHENS | _INVISIBLE)


def clean(text: str | None) -> str:
    """Clean a text for the tokenizer; the result is one line, '' for None.

    Tags are removed before entities are resolved: `&lt;5cm&gt;` is text, not a tag. Escaped layout
    tags such as `&lt;br&gt;` are a shop's mistake, and are removed after that.
    """
    if not text:
        return ""
    # A lone surrogate is no character, and native libraries reject it.
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = normalize_characters(unescape_entities(strip_tags(text)))
    if "<" in text:
        text = _LAYOUT_TAG.sub(" ", text)
    return _SPACE.sub(" ", text).strip()
