"""Cleaning: markup and characters, before any tokenizer sees the text."""

import html
import re
import unicodedata

# Only HTML's own element names make a tag: shops write <Blu-ray>, <NEW> and 5<6 in titles.
_ELEMENTS = [
    "a",
    "abbr",
    "acronym",
    "address",
    "applet",
    "area",
    "article",
    "aside",
    "audio",
    "b",
    "base",
    "basefont",
    "bdi",
    "bdo",
    "bgcolor",
    "big",
    "blink",
    "blockquote",
    "body",
    "br",
    "button",
    "canvas",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "data",
    "datalist",
    "dd",
    "del",
    "details",
    "dfn",
    "dialog",
    "dir",
    "div",
    "dl",
    "dt",
    "em",
    "embed",
    "fieldset",
    "figcaption",
    "figure",
    "font",
    "footer",
    "form",
    "frame",
    "frameset",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "hgroup",
    "hr",
    "html",
    "i",
    "iframe",
    "img",
    "input",
    "ins",
    "kbd",
    "label",
    "legend",
    "li",
    "link",
    "main",
    "map",
    "mark",
    "marquee",
    "menu",
    "meta",
    "meter",
    "nav",
    "nobr",
    "noframes",
    "noscript",
    "object",
    "ol",
    "optgroup",
    "option",
    "output",
    "p",
    "param",
    "picture",
    "pre",
    "progress",
    "q",
    "rp",
    "rt",
    "ruby",
    "s",
    "samp",
    "script",
    "search",
    "section",
    "select",
    "slot",
    "small",
    "source",
    "span",
    "strike",
    "strong",
    "style",
    "sub",
    "summary",
    "sup",
    "svg",
    "table",
    "tbody",
    "td",
    "template",
    "textarea",
    "tfoot",
    "th",
    "thead",
    "time",
    "title",
    "tr",
    "track",
    "tt",
    "u",
    "ul",
    "var",
    "video",
    "wbr",
]
_NAME = rf"(?:{'|'.join(sorted(_ELEMENTS, key=len, reverse=True))})(?![\w-])"

# Every alternative stops at the next "<", so that hostile text costs linear time.
_HIDDEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style)(?![\w-])[^<>]*+>.*?(?:</\1\s*>|\Z)", re.I | re.S
)
_TAG = re.compile(
    rf"</?{_NAME}(?:\"[^\"<]*\"|'[^'<]*'|[^<>\"'])*+>|</?{_NAME}[^<>]*+>|<![a-z][^<>]*+>", re.I
)
# What is still a tag once entities and full-width brackets are resolved; <S> is then a size.
_LAYOUT_TAG = re.compile(
    r"</?(?:br|p|div|span|font|li|ul|ol|td|tr|th|table|tbody|img|strong|em|center|hr|h[1-6])"
    r"(?:\s[^<>]*+|/)?>",
    re.I,
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.I)

_SOUND_MARKS = {0x309B: "\u3099", 0x309C: "\u309a"}
_HYPHENS = dict.fromkeys([*range(0x2010, 0x2016), 0x2043, 0x2212, 0xFE58, 0xFE63, 0xFF0D], "-")
_TILDES = {0x301C: "~", 0x223C: "~", 0xFF5E: "~"}
# Zero-width and soft characters, and marks that found nothing to combine with.
_INVISIBLE = dict.fromkeys(
    [0x00AD, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065),
     *range(0xFE00, 0xFE10), 0xFEFF]
)  # fmt: skip
_STRAY_MARK = re.compile("[\u3099\u309a]+")
_SPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


def strip_tags(text: str) -> str:
    """Replace tags and comments by a space, scripts and style sheets with all that they hold."""
    if "<" not in text:
        return text
    return _TAG.sub(" ", _HIDDEN.sub(" ", text))


def unescape_entities(text: str) -> str:
    """Replace HTML's character references (`&amp;`, `&#8226;`); a name needs its semicolon."""
    if "&" not in text:
        return text
    return _ENTITY.sub(lambda match: html.unescape(match.group()), text)


def normalize_characters(text: str) -> str:
    """NFKC, with one hyphen, one tilde, composed sound marks and nothing invisible.

    The long vowel mark is a letter and is never taken for a hyphen.
    """
    text = text.translate(_SOUND_MARKS | _HYPHENS | _TILDES | _INVISIBLE)
    text = unicodedata.normalize("NFKC", text)
    return _STRAY_MARK.sub("", text).translate(_HYPHENS | _INVISIBLE)


def clean(text: str | None) -> str:
    """Text as the tokenizer should see it, on one line; '' for None.

    Tags go first and entities after them: `&lt;5cm&gt;` is text, not a tag. Only `&lt;br&gt;` and
    the like, which shops escape by mistake, are taken out after that.
    """
    if not text:
        return ""
    # A lone surrogate is no character; nothing native accepts it.
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = normalize_characters(unescape_entities(strip_tags(text)))
    if "<" in text:
        text = _LAYOUT_TAG.sub(" ", text)
    return _SPACE.sub(" ", text).strip()
