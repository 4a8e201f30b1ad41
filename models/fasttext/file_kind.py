"""What a file is, by its first bytes; a name that says otherwise is refused."""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Literal

from models.errors import ModelError

Kind = Literal["binary", "text", "packed"]

MAGIC = 793712314
_GZIP = b"\x1f\x8b"
_HEAD = 512


def detect_kind(path: Path) -> Kind:
    """Tell a .bin or .ftz ("binary"), word vectors as text ("text") and a packed model apart.

    Raises:
        ModelError: the file can't be read, is none of them, or is another one than its name says.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror or error}") from error
    if size == 0:
        raise ModelError(f"{path}: is empty; copy it again")
    binary_name = path.suffix.lower() in (".bin", ".ftz")
    text_name = path.name.lower().removesuffix(".gz").endswith((".vec", ".txt"))
    if head.startswith(_GZIP):
        return _inside_gzip(path, head, binary_name)
    if head.startswith(struct.pack("<i", MAGIC)):
        if text_name:
            raise ModelError(
                f"{path}: a fastText .bin under the name of a text file; rename it to .bin"
            )
        return "binary"
    if _opens_safetensors(head, size):
        return "packed"
    if _opens_text(head):
        if binary_name:
            raise ModelError(
                f"{path}: word vectors as text (.vec), not a fastText .bin; rename it to .vec"
            )
        return "text"
    raise ModelError(f"{path}: {_why_not(head, text_name)}")


def _inside_gzip(path: Path, head: bytes, binary_name: bool) -> Kind:
    try:
        with gzip.open(path) as file:
            inside = file.read(_HEAD)
    except (OSError, EOFError, zlib.error) as error:
        raise ModelError(f"{path}: damaged or cut short gzip: {error}; copy it again") from error
    if binary_name or not _opens_text(inside):
        raise ModelError(
            f"{path}: compressed with gzip, and only word vectors as text (.vec.gz) are read so; "
            "unpack it with gunzip first"
        )
    return "text"


def _opens_safetensors(head: bytes, size: int) -> bool:
    if len(head) < 9 or head[8:9] != b"{":
        return False
    (length,) = struct.unpack_from("<Q", head)
    # One cut inside its header is one too: its reader says so.
    return bool(length <= max(size, 1 << 20))


def _opens_text(head: bytes) -> bool:
    """Whether the first line is the two numbers of a .vec and what follows is text."""
    first, _, rest = head.partition(b"\n")
    numbers = first.split()
    return len(numbers) == 2 and all(part.isdigit() for part in numbers) and b"\0" not in rest


def _why_not(head: bytes, text_name: bool) -> str:
    numbers = head.partition(b"\n")[0].split()
    if len(numbers) == 2 and all(part.isdigit() for part in numbers):
        return "word2vec's binary format; save it as text (.vec) and load that"
    if text_name:
        return "no .vec: its first line is not the number of words and the dimension"
    if _opens_old_format(head):
        return (
            "in fastText's format from before its magic number; load and save it again "
            "with gensim or train it again"
        )
    return "not a fastText model: neither .bin, .ftz, .vec nor a packed model"


def _opens_old_format(head: bytes) -> bool:
    """Whether the arguments of a .bin stand where the magic number should."""
    if len(head) < 56:
        return False
    dim, ws, epoch, count, neg, _, loss, model = struct.unpack_from("<8i", head)
    small = all(0 <= value < 1 << 20 for value in (dim, ws, epoch, count, neg))
    return small and dim > 0 and loss in range(1, 5) and model in (1, 2, 3)
