"""Removing JSON objects and the blocks of style sheets from a text that has no tags any more."""

import re

# JSON: an object begins with a key. Of one that is cut off the rest is removed.
_JSON_START = re.compile(r'\{\s*+"[^"\\]*+(?:\\.[^"\\]*+)*"\s*+:', re.S)
_JSON_TOKEN = re.compile(
    r'[\s,:]++|([\[{])|([\]}])|"[^"\\]*+(?:\\.[^"\\]*+)*(?:"|\\?\Z)|-?\d[\d.eE+-]*+'
    r"|true|false|null|(?:t|tr|tru|f|fa|fal|fals|n|nu|nul)\Z",
    re.S,
)

# CSS: a selector before a block that begins with a property. Of a block that is cut off the rest is
# removed.
_PROPERTIES = """
    align animation appearance background border bottom box clear clip color column content cursor
    direction display fill flex float font gap grid height hyphens isolation justify left letter
    line list margin max min object opacity order outline overflow padding page place pointer
    position resize right scroll src stroke table text top transform transition unicode user
    vertical visibility white width word writing z zoom
"""
_PROPERTY = rf"(?:--|-?(?:webkit|moz|ms|o)-|(?:{'|'.join(_PROPERTIES.split())})(?=[-:\s]))"
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.S)
_BLOCK = re.compile(rf"\{{\s*+{_PROPERTY}[\w-]*+\s*+:[^{{}}]*+(?:\}}|\Z)", re.I)
_AT_BLOCK = re.compile(r"@[a-z-]{3,20}[^@{};]{0,200}\{\s*+(?:\}|\Z)", re.I)
_AT_LINE = re.compile(r"@(?:import|charset|namespace)\s[^@{};]{1,300};", re.I)
_AT_RULE = re.compile(r"@[a-z-]{3,20}[^@{};]*\Z", re.I)
# Characters of a selector that are looked at, at most.
_LONGEST_SELECTOR = 500
_ELEMENTS = """
    \\* a abbr article aside b blockquote body button caption div dl dt dd em fieldset figure footer
    form h[1-6] header hr html i iframe img input label legend li main nav ol p pre section select
    small span strong sub sup table tbody td textarea tfoot th thead tr ul video from to
"""
_SIMPLE = re.compile(
    rf"(?:{'|'.join(_ELEMENTS.split())}|\d+%|(?=[.#:\[]))"
    r"(?:[.#][A-Za-z_-][\w-]*|::?[a-z-]+(?:\([^()]*\))?|\[[^\[\]]*\])*"
)
_WORD = re.compile(r"[^\s>+~,]+")


def strip_code(text: str) -> str:
    """Replace JSON objects and blocks of CSS with their selectors by spaces."""
    if "{" not in text:
        return text
    return _strip_css(_strip_json(text))


def _strip_json(text: str) -> str:
    parts, end = [], 0
    while match := _JSON_START.search(text, end):
        parts.append(text[end : match.start()])
        end = _json_end(text, match.start())
    return " ".join([*parts, text[end:]])


def _json_end(text: str, position: int) -> int:
    """The end of the object that starts at a position, or of what is still JSON after it."""
    depth = 0
    while match := _JSON_TOKEN.match(text, position):
        position = match.end()
        depth += bool(match[1]) - bool(match[2])
        if depth <= 0 and match[2]:
            break
    return position


def _strip_css(text: str) -> str:
    if not _BLOCK.search(text):
        return text
    text = _AT_LINE.sub(" ", _COMMENT.sub(" ", text))
    parts, end = [], 0
    for match in _BLOCK.finditer(text):
        window = max(end, match.start() - _LONGEST_SELECTOR)
        start = _selector_start(text, window, match.start())
        if start < match.start():
            parts.append(text[end:start])
            end = match.end()
    return _AT_BLOCK.sub(" ", " ".join([*parts, text[end:]]))


def _selector_start(text: str, window: int, block: int) -> int:
    """Where the selector before a block starts; the block's own start if there is none.

    Args:
        text: the text.
        window: where the selector can start at the earliest.
        block: where the block starts.
    """
    before = text[window:block]
    before = before[max(map(before.rfind, "{};")) + 1 :]
    if rule := _AT_RULE.search(before):
        return block - len(before) + rule.start()
    start = len(before)
    for word in reversed(list(_WORD.finditer(before))):
        if not _SIMPLE.fullmatch(word.group()):
            break
        start = word.start()
    return block - len(before) + start
