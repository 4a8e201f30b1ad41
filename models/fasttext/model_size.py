"""The size of a fastText model, packed and in the library, from its header alone."""

import gzip
import struct
from dataclasses import dataclass, replace
from pathlib import Path

from models.errors import ModelError
from models.fasttext import file_kind
from models.fasttext.bytestrings import PADDING_BYTES
from models.fasttext.catalogue_statistics import TABLE_SIZE
from models.fasttext.model import distilled_dim, read_header
from models.fasttext.safetensors_file import ALIGNMENT, DATA_START

# Mean length of a word where only the number of words is known; Japanese words are about as long
# as Latin ones.
MEAN_WORD_BYTES = 10
# The library's hash table of 30,000,000 int32 (MAX_VOCAB_SIZE in fastText's src/dictionary.h), and
# its entry for a word with the list of its n-grams: 77 bytes a word were measured in addition to
# the .bin and that table (benchmarks/README.md, model_loading.py: 300,000 words, one worker).
LIBRARY_TABLE_BYTES, LIBRARY_WORD_BYTES = 120_000_000, 77
_ARGS = struct.Struct("<2i12id3i2q")


@dataclass(frozen=True)
class ModelSize:
    """The size of a model.

    Attributes:
        words: words in its vocabulary.
        rows: n-gram rows.
        dim: length of a vector.
        packed: bytes of the packed file, which all processes of a host share.
        binary: bytes of the .bin that the library reads.
        beside: length of a vector of the distilled model beside it; 0 if there is none.
    """

    words: int
    rows: int
    dim: int
    packed: int
    binary: int
    beside: int = 0

    @property
    def library(self) -> int:
        """Bytes of the library's own copy, in each process that loads it."""
        return self.binary + LIBRARY_TABLE_BYTES + LIBRARY_WORD_BYTES * self.words


def estimate_size(
    words: int, rows: int, dim: int, *, float16: bool = False, statistics: bool = True
) -> ModelSize:
    """Estimate the size of a model that does not exist yet.

    Args:
        words: words in its vocabulary.
        rows: n-gram rows (fastText's buckets).
        dim: length of a vector.
        float16: whether it is packed as float16.
        statistics: whether it has the statistics of a large catalogue.
    """
    packed = packed_bytes(
        words, rows, dim, words * MEAN_WORD_BYTES, float16=float16, statistics=statistics
    )
    # Rows of words and n-grams and the output matrix, in float32; each word takes 10 bytes more.
    binary = 4 * dim * (2 * words + rows) + words * (MEAN_WORD_BYTES + 10) + 128
    return ModelSize(words, rows, dim, packed, binary)


def packed_bytes(
    words: int, rows: int, dim: int, word_bytes: int, *, float16: bool, statistics: bool
) -> int:
    """Return the bytes of a packed file.

    The number is exact except for statistics of small catalogues and for pruned models.

    Args:
        words: words in its vocabulary.
        rows: n-gram rows.
        dim: length of a vector.
        word_bytes: length of all words together.
        float16: whether vectors and rows are float16.
        statistics: whether it has the statistics of a large catalogue.
    """
    value = 2 if float16 else 4
    table = 4 << words.bit_length()
    tensors = [value * dim * words, value * dim * rows, words, 8 * words, 8 * (words + 1)]
    tensors += [4 * table, word_bytes + PADDING_BYTES]
    if statistics:
        tensors += [4 * TABLE_SIZE, 4 * TABLE_SIZE, 4 * dim]
    return DATA_START + sum(-(-size // ALIGNMENT) * ALIGNMENT for size in tensors)


def size_of_file(path: Path, *, float16: bool = False) -> ModelSize:
    """Return the size of a model in a file, of which only the header is read.

    Args:
        path: packed, .bin, .ftz, .vec or .vec.gz.
        float16: whether a model that is not packed yet will be packed as float16.

    Raises:
        ModelError: the file is missing, has a damaged header, or is not a model.
    """
    kind = file_kind.detect_kind(path)
    if kind == "packed":
        header, size = read_header(path), path.stat().st_size
        estimate = estimate_size(header.nwords, header.bucket, header.dim)
        return replace(estimate, packed=size, beside=distilled_dim(path))
    if kind == "text":
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            words, dim = map(int, file.readline().split())
        return estimate_size(words, 0, dim, float16=float16)
    with path.open("rb") as file:
        head = file.read(_ARGS.size)
    if len(head) < _ARGS.size:
        raise ModelError(f"{path}: cut short in its header; copy it again")
    values = _ARGS.unpack(head)
    dim, bucket, words, pruned = values[2], values[10], values[16], values[19]
    if dim <= 0 or bucket < 0 or words < 0:
        raise ModelError(f"{path}: its header is damaged: dim {dim}, bucket {bucket}")
    estimate = estimate_size(words, bucket if pruned < 0 else pruned, dim, float16=float16)
    return replace(estimate, binary=path.stat().st_size)
