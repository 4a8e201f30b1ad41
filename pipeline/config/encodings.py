"""Encodings of text files, under the names that Python and Java have for them."""

import codecs

# Python's names of encodings and Java's. Shift_JIS is read as Windows writes it (cp932): with ①, ㈱
# and 髙, which Java's plain Shift_JIS turns into other characters.
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
    """Python's canonical name of an encoding; every Shift_JIS is Windows' cp932.

    Raises:
        ValueError: Python does not know the encoding.
    """
    try:
        canonical = codecs.lookup("cp932" if name.lower() == "windows-31j" else name).name
    except LookupError as error:
        raise ValueError(f"unknown encoding {name!r}; UTF-8, Shift_JIS, EUC-JP?") from error
    return "cp932" if canonical == "shift_jis" else canonical


def java_encoding(name: str) -> str:
    """Java's name of an encoding.

    Raises:
        ValueError: the encoding is not known, or not supported.
    """
    canonical = python_encoding(name)
    if canonical not in _JAVA_ENCODINGS:
        raise ValueError(f"encoding {name!r} is not supported; {', '.join(_JAVA_ENCODINGS)} are")
    return _JAVA_ENCODINGS[canonical]
