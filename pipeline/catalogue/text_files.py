"""Text files of a catalogue, CSV and JSON Lines: their encoding, opened on the driver."""

import codecs
import io
from typing import Any

from pipeline.catalogue.files import Source
from pipeline.config.encodings import python_encoding
from pipeline.errors import InputError
from pipeline.storage.paths import StoragePath, arrow_path

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_GZIP_MARK = b"\x1f\x8b"
_CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}


def open_bytes(file: StoragePath) -> Any:  # noqa: ANN401 - Arrow's stream
    """Open a file, decompressed as its name says, whether in capitals or not: so Spark does it."""
    ending = file.suffixes[-1].lower() if file.suffixes else ""
    system, path = arrow_path(file)
    return system.open_input_stream(path, compression=_CODECS.get(ending))


def open_text(file: StoragePath, encoding: str, errors: str = "replace") -> io.TextIOWrapper:
    """Open a text file, compressed or not, without its byte order mark.

    Lines end with LF, CR or CR LF, and keep their ends.

    Args:
        file: the file; its name says how it is compressed.
        encoding: one of Python's.
        errors: what to do about bytes that the encoding does not have, as in `bytes.decode`.
    """
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    return io.TextIOWrapper(open_bytes(file), encoding=encoding, errors=errors, newline="")


def check_encoding(file: StoragePath, source: Source) -> None:
    """Check by a file's first bytes that they are text of the encoding.

    Raises:
        InputError: the file is UTF-16 and the encoding is another, or it is compressed and its
            name does not say so.
    """
    start = _start(file)
    if start == _GZIP_MARK:
        raise InputError(
            f"catalogue.path {file}: is compressed with gzip; give it a name that ends in .gz"
        )
    if start in _UTF16_MARKS and not is_utf16(source):
        raise InputError(
            f"catalogue.path {file}: is UTF-16, not {source.encoding}; "
            'set catalogue.encoding = "UTF-16"'
        )


def is_utf16(source: Source) -> bool:
    """Whether the catalogue's encoding is UTF-16, of whatever byte order."""
    return python_encoding(source.encoding).startswith("utf-16")


def utf16_of(file: StoragePath, source: Source) -> str:
    """Python's name of the encoding with the byte order that the source or the file's mark says."""
    encoding = python_encoding(source.encoding)
    if encoding != "utf-16":
        return encoding
    start = _start(file)
    # JSON starts with an ASCII character, whose second byte in UTF-16LE is zero.
    little = start == codecs.BOM_UTF16_LE or start[1:] == b"\0"
    return "utf-16-le" if little else "utf-16-be"


def _start(file: StoragePath) -> bytes:
    with open_bytes(file) as stream:
        return bytes(stream.read(2))
