"""Encodings of text files, under Python's names and Java's."""

import codecs

# Python's names of encodings, and Java's. Windows writes Shift_JIS with characters of its own
# (①, ㈱, 髙), which Java's plain Shift_JIS turns into others.
_JAVA_ENCODINGS = {
    "ascii": "US-ASCII",
    "big5": "Big5",
    "cp1252": "windows-1252",
    "cp932": "windows-31j",
    "euc_jp": "EUC-JP",
    "euc_kr": "EUC-KR",
    "gb18030": "GB18030",
    "iso2022_jp": "ISO-2022-JP",
    "iso8859-1": "ISO-8859-1",
    "utf-16": "UTF-16",
    "utf-16-be": "UTF-16BE",
    "utf-16-le": "UTF-16LE",
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8",
}


def python_encoding(name: str) -> str:
    """Python's own name of an encoding, Windows' Shift_JIS for any.

    Raises:
        ValueError: it is not known.
    """
    try:
        found = codecs.lookup("cp932" if name.lower() == "windows-31j" else name).name
    except LookupError as error:
        raise ValueError(f"unknown encoding {name!r}; UTF-8, Shift_JIS, EUC-JP?") from error
    return "cp932" if found == "shift_jis" else found


def java_encoding(name: str) -> str:
    """Java's name of an encoding.

    Raises:
        ValueError: it is not known, or not supported.
    """
    found = python_encoding(name)
    if found not in _JAVA_ENCODINGS:
        raise ValueError(f"encoding {name!r} is not supported; {', '.join(_JAVA_ENCODINGS)} are")
    return _JAVA_ENCODINGS[found]
