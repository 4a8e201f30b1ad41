"""Static models: a table of token vectors, of which a text's vector is the mean.

They come in two forms. One has a tokenizer of its own and reads text, as model2vec and
sentence-transformers keep it. The other has a row for each of the catalogue's own tokens, as
`distil` makes it; that form is a packed file of words, which `models.fasttext` reads.
"""

from pathlib import Path

from models import fasttext
from models.content import file_sha256
from models.errors import ModelError
from models.fasttext import safetensors_file
from models.fasttext.model import FORMAT as WORDS_FORMAT
from models.fasttext.packing import FILE_NAME
from models.static.embedder import StaticEmbedder
from models.static.packing import FORMAT, pack
from models.static.source import read_source, table_of

__all__ = [
    "StaticEmbedder",
    "find_packed",
    "has_tokenizer",
    "is_directory",
    "is_packed",
    "load",
    "pack",
    "read_source",
]


def find_packed(path: str | Path) -> Path | None:
    """The packed static model that a path names: the file itself, or the one in its directory.

    Raises:
        ModelError: the file is missing, or damaged.
    """
    file = Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
    is_there = file == Path(path) or file.is_file()
    return file if is_there and is_packed(file) else None


def is_directory(path: str | Path) -> bool:
    """Whether a directory holds a static model's table, as either library saves it."""
    return table_of(Path(path)) is not None


def is_packed(path: str | Path) -> bool:
    """Whether a file is a packed static model, or another packed model of words.

    Raises:
        ModelError: the file is missing, or damaged.
    """
    file = Path(path)
    if not fasttext.is_packed(file):
        return False
    return safetensors_file.read(file)[0].get("format") in (FORMAT, WORDS_FORMAT)


def has_tokenizer(path: str | Path) -> bool:
    """Whether a packed file holds a static model that has a tokenizer, and so reads text.

    Raises:
        ModelError: the file is missing, or damaged.
    """
    file = Path(path)
    return is_packed(file) and safetensors_file.read(file)[0].get("format") == FORMAT


def load(path: str | Path, *, sha256: str = "") -> StaticEmbedder | fasttext.Embedder:
    """Load a packed static model of either form. It is mapped, in milliseconds.

    Args:
        path: of the file.
        sha256: the expected checksum of the file, 64 hexadecimal digits; not checked if empty.

    Raises:
        ModelError: the file is missing, damaged, no packed model, or has another checksum; or the
            extra is not installed.
    """
    file = Path(path)
    if has_tokenizer(file):
        if sha256 and (actual := file_sha256(file)) != sha256.lower():
            raise ModelError(f"{file}: its sha256 is {actual}, not {sha256}; copy or ship it again")
        return StaticEmbedder(file)
    model = fasttext.load(file, sha256=sha256)
    if not isinstance(model, fasttext.Embedder):
        raise ModelError(f"{file}: a fastText model, not a packed static one")
    return model
