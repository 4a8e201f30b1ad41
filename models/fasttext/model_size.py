"""What a fastText model takes, packed and in the library, from its header alone."""

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path

from models.errors import ModelError
from models.fasttext import file_kind
from models.fasttext.bytestrings import SPARE
from models.fasttext.catalogue_statistics import TABLE_SIZE
from models.fasttext.model import read_header
from models.fasttext.safetensors_file import ALIGNMENT, DATA_START

# Of a word where only the number of words is known; Japanese and Latin words are much alike.
MEAN_WORD_BYTES = 10
# The library's hash table of 30,000,000 int32 (MAX_VOCAB_SIZE in fastText's src/dictionary.h), and
# its entry of a word with the list of its n-grams: 77 bytes a word were measured over the .bin and
# that table (benchmarks/README.md, model_loading.py: 300,000 words, one worker).
LIBRARY_TABLE_BYTES, LIBRARY_WORD_BYTES = 120_000_000, 77
_ARGS = struct.Struct("<2i12id3i2q")


@dataclass(frozen=True)
class ModelSize:
    """How large a model is.

    Attributes:
        words: in its vocabulary.
        rows: of n-grams.
        dim: length of a vector.
        packed: bytes of the packed file, which all processes of a host map.
        binary: bytes of the .bin that the library reads.
    """

    words: int
    rows: int
    dim: int
    packed: int
    binary: int

    @property
    def library(self) -> int:
        """Bytes of the library's own copy, in each process that loads it."""
        return self.binary + LIBRARY_TABLE_BYTES + LIBRARY_WORD_BYTES * self.words


def estimate_size(
    words: int, rows: int, dim: int, *, float16: bool = False, statistics: bool = True
) -> ModelSize:
    """The size of a model that is not there yet.

    Args:
        words: in its vocabulary.
        rows: of n-grams (fastText's buckets).
        dim: length of a vector.
        float16: whether it is packed in half the space.
        statistics: whether it carries the statistics of a large catalogue.
    """
    packed = packed_bytes(
        words, rows, dim, words * MEAN_WORD_BYTES, float16=float16, statistics=statistics
    )
    # Rows of words and n-grams, and the output matrix, in float32; a word ends in 10 bytes more.
    binary = 4 * dim * (2 * words + rows) + words * (MEAN_WORD_BYTES + 10) + 128
    return ModelSize(words, rows, dim, packed, binary)


def packed_bytes(
    words: int, rows: int, dim: int, word_bytes: int, *, float16: bool, statistics: bool
) -> int:
    """Bytes of a packed file, to the byte but for statistics of small catalogues and pruned rows.

    Args:
        words: in its vocabulary.
        rows: of n-grams.
        dim: length of a vector.
        word_bytes: of all words together.
        float16: whether vectors and rows are.
        statistics: whether it carries the statistics of a large catalogue.
    """
    value = 2 if float16 else 4
    table = 4 << words.bit_length()
    tensors = [value * dim * words, value * dim * rows, words, 8 * words, 8 * (words + 1)]
    tensors += [4 * table, word_bytes + SPARE]
    if statistics:
        tensors += [4 * TABLE_SIZE, 4 * TABLE_SIZE, 4 * dim]
    return DATA_START + sum(-(-size // ALIGNMENT) * ALIGNMENT for size in tensors)


def size_of_file(path: Path, *, float16: bool = False) -> ModelSize:
    """The size of a model in a file, of which the header alone is read.

    Args:
        path: packed, .bin, .ftz, .vec or .vec.gz.
        float16: whether one that is not packed is to be packed in half the space.

    Raises:
        ModelError: the file is missing, damaged in its header, or no model.
    """
    kind = file_kind.detect_kind(path)
    if kind == "packed":
        header, size = read_header(path), path.stat().st_size
        made = estimate_size(header.nwords, header.bucket, header.dim)
        return ModelSize(header.nwords, header.bucket, header.dim, size, made.binary)
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
    made = estimate_size(words, bucket if pruned < 0 else pruned, dim, float16=float16)
    return ModelSize(words, made.rows, dim, made.packed, path.stat().st_size)
