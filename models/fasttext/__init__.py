"""fastText models: `pack` one, `load` it packed or not, and `embed` token lists.

A loaded model's `embed` returns the library's means; a `BlendEmbedder` computes other vectors.
"""

from pathlib import Path

from models.content import file_sha256
from models.errors import ModelError
from models.fasttext import file_kind
from models.fasttext.binary_format import check_finite, read_layout
from models.fasttext.blend import Blend, BlendEmbedder
from models.fasttext.embedder import Embedder
from models.fasttext.library import LibraryEmbedder
from models.fasttext.model import read_header, read_packed, read_source
from models.fasttext.model_size import ModelSize, estimate_size, size_of_file
from models.fasttext.packing import add_statistics, attach, open_source, pack
from models.fasttext.source import Header
from models.fasttext.text_blend import TextBlendEmbedder, TextModel

__all__ = [
    "Blend",
    "BlendEmbedder",
    "Embedder",
    "Header",
    "LibraryEmbedder",
    "ModelSize",
    "TextBlendEmbedder",
    "TextModel",
    "add_statistics",
    "attach",
    "estimate_size",
    "is_packed",
    "load",
    "pack",
    "read_header",
    "size_of_file",
]


def is_packed(path: str | Path) -> bool:
    """Whether a file is a packed model.

    Raises:
        ModelError: the file is missing or not a model.
    """
    return file_kind.detect_kind(Path(path)) == "packed"


def load(path: str | Path, *, sha256: str = "") -> Embedder | LibraryEmbedder:
    """Load a model, packed or not, checked before any native code sees it.

    A packed file is mapped, in milliseconds. The fastText library loads a .bin or .ftz. A .vec or
    .vec.gz is read into memory.

    Args:
        path: of the file.
        sha256: the expected checksum of the file, 64 hexadecimal digits; not checked if empty.

    Raises:
        ModelError: the file is missing, damaged, not a model, or has another checksum.
    """
    file = Path(path)
    kind = file_kind.detect_kind(file)
    if sha256 and (actual := file_sha256(file)) != sha256.lower():
        raise ModelError(f"{file}: its sha256 is {actual}, not {sha256}; copy or ship it again")
    if kind == "packed":
        return Embedder(read_packed(file))
    if kind == "text":
        return Embedder(read_source(open_source(file)))
    layout = read_layout(file)
    check_finite(file, layout)
    return LibraryEmbedder(file, layout)
