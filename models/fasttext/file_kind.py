"""Detects which kind of model a file is, by its first bytes, and refuses a misleading name."""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Literal

from models.errors import ModelError

Kind = Literal["binary", "text", "packed"]

MAGIC = 793712314
GZIP_MAGIC = b"\x1f\x8b"
_HEAD_BYTES = 512


def detect_kind(path: Path) -> Kind:
    """Detect a .bin or .ftz ("binary"), word vectors as text ("text") or a packed model.

    Raises:
        ModelError: the file can't be read, is of no such kind, or is of another kind than its
            name says.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror or error}") from error
    if size == 0:
        raise ModelError(f"{path}: is empty; copy it again")
    binary_name = path.suffix.lower() in (".bin", ".ftz")
    text_name = path.name.lower().removesuffix(".gz").endswith((".vec", ".txt"))
    if head.startswith(GZIP_MAGIC):
        return _gzip_kind(path, binary_name)
    if head.startswith(struct.pack("<i", MAGIC)):
        if text_name:
            raise ModelError(
                f"{path}: a fastText .bin under the name of a text file; rename it to .bin"
            )
        return "binary"
    if _is_safetensors(head, size):
        return "packed"
    if _is_text(head):
        if binary_name:
            raise ModelError(
                f"{path}: word vectors as text (.vec), not a fastText .bin; rename it to .vec"
            )
        return "text"
    raise ModelError(f"{path}: {_unknown_kind(head, text_name)}")


def _gzip_kind(path: Path, binary_name: bool) -> Kind:
    try:
        with gzip.open(path) as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise ModelError(f"{path}: damaged or cut short gzip: {error}; copy it again") from error
    if binary_name or not _is_text(head):
        raise ModelError(
            f"{path}: compressed with gzip, and only word vectors as text (.vec.gz) "
            "can be read compressed; "
            "unpack it with gunzip first"
        )
    return "text"


def _is_safetensors(head: bytes, size: int) -> bool:
    if len(head) < 9 or head[8:9] != b"{":
        return False
    (length,) = struct.unpack_from("<Q", head)
    # A file that is cut inside its header counts too: the reader of packed models reports it.
    return bool(length <= max(size, 1 << 20))


def _is_text(head: bytes) -> bool:
    """Whether the first line has the two numbers of a .vec and text follows."""
    return _has_two_numbers(head) and b"\0" not in head.partition(b"\n")[2]


def _has_two_numbers(head: bytes) -> bool:
    numbers = head.partition(b"\n")[0].split()
    return len(numbers) == 2 and all(number.isdigit() for number in numbers)


def _unknown_kind(head: bytes, text_name: bool) -> str:
    """Return what is known of a file of no known kind, for the error message."""
    if _has_two_numbers(head):
        return "word2vec's binary format; save it as text (.vec) and load that"
    if text_name:
        return "no .vec: its first line is not the number of words and the dimension"
    if _is_old_format(head):
        return (
            "in fastText's format from before its magic number; load and save it again "
            "with gensim or train it again"
        )
    return "not a fastText model: neither .bin, .ftz, .vec nor a packed model"


def _is_old_format(head: bytes) -> bool:
    """Whether the file begins with the arguments of a .bin in place of the magic number."""
    if len(head) < 56:
        return False
    dim, ws, epoch, count, neg, _, loss, model = struct.unpack_from("<8i", head)
    small = all(0 <= value < 1 << 20 for value in (dim, ws, epoch, count, neg))
    return small and dim > 0 and loss in range(1, 5) and model in (1, 2, 3)
