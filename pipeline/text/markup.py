"""Removing HTML's tags, and what is no text inside a text: encoded files, JSON, style sheets."""

import html
import re

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
_NAMES = sorted(_ELEMENTS.split(), key=len, reverse=True)
_NAME = rf"(?:{'|'.join(_NAMES)})(?![\w-])"
_LONG_NAME = rf"(?:p|{'|'.join(name for name in _NAMES if len(name) > 1)})(?![\w-])"

# Every alternative stops at the next "<", so that hostile text costs linear time.
_HIDDEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|svg)(?![\w-])[^<>]*+>.*?(?:</\1\s*>|\Z)", re.I | re.S
)
# A tag that never closes reaches to the next "<", or to the end. It is a name and an attribute, or
# a name at the end of the text; <S at the end is a size, unless it is the whole text.
_TAG = re.compile(
    rf"</?{_NAME}(?:\"[^\"<]*\"|'[^'<]*'|[^<>\"'])*+>|</?{_NAME}[^<>]*+>|<[!?][a-z][^<>]*+(?:>|\Z)"
    rf"|</?{_NAME}\s[^<>=]*+=[^<>]*+|</{_NAME}\s*+\Z"
    rf"|<{_LONG_NAME}\s*+(?:/|[a-z][\w:-]*+\s*+)?\Z|\A\s*+<{_NAME}\s*+\Z",
    re.I,
)
# Tags that appear once entities and full-width brackets are resolved. Only these names count then:
# <S> is a size.
_LAYOUT = r"(?:br|p|div|span|font|li|ul|ol|td|tr|th|table|tbody|img|strong|em|center|hr|h[1-6])"
_LAYOUT_TAG = re.compile(
    rf"</?{_LAYOUT}(?:\s[^<>]*+|/)?>|</?{_LAYOUT}(?:\s[^<>=]*+=[^<>]*+)?\Z", re.I
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.I)

# A file inside a text. Base64 may be broken into lines. Other encodings end at a space, a quotation
# mark or a bracket; they are told from "data:audio/video,USB" by a parameter or an escaped "<".
_DATA_URI = re.compile(
    r"""
    \bdata: (?:(?:application|audio|font|image|model|text|video) \\?/ [\w.+-]+)?
    (?: (?:;[\w-]+=[\w.-]+)* ;base64
        (?:, [\w+/\\%-]*+ (?:\s*[\r\n]\s*[\w+/-]{40,}+)* (?:\s*[\r\n]\s*[\w+/-]++=)? =*+)?
      | (?<!:) (?:(?:;[\w-]+=[\w.-]+|;utf-?8)+ ,? | ,(?=%3C)) [!\#-&*-;=?-~]*+
    )
    """,
    re.I | re.X | re.A,
)


def strip_tags(text: str) -> str:
    """Replace tags, comments, and scripts, style sheets and drawings with their content, by spaces.

    A tag that never closes reaches to the next "<", or to the end.
    """
    if "<" not in text:
        return text
    return _TAG.sub(" ", _HIDDEN.sub(" ", text))


def strip_layout_tags(text: str) -> str:
    """Replace the tags that tell a layout by spaces: `<br>`, but not `<S>`."""
    return _LAYOUT_TAG.sub(" ", text) if "<" in text else text


def strip_data_uris(text: str) -> str:
    """Replace files that are encoded in the text by spaces: `data:image/png;base64,iVBORw0K`."""
    return _DATA_URI.sub(" ", text) if ":" in text else text


def unescape_entities(text: str) -> str:
    """Resolve HTML's character references (`&amp;`, `&#8226;`) that end in a semicolon."""
    if "&" not in text:
        return text
    return _ENTITY.sub(lambda match: html.unescape(match.group()), text)
