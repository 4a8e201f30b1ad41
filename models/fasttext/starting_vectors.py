"""Pretrained word vectors, from which fastText starts a training.

The training reads the catalogue as it would without them. So a word's row still moves, and the
n-grams' rows, which start at random, learn to fit around the pretrained ones.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.errors import ModelError
from models.fasttext import file_kind
from models.fasttext.catalogue_statistics import document_weights
from models.fasttext.row_sums import Floats, normalize_rows
from models.fasttext.vec_source import VecSource

# Length of a row that a training starts from: see benchmarks/README.md. Those of n-grams start with
# lengths of less than 1.
_START_LENGTH = np.float32(20)


def write(source: Path, corpus: Path, dim: int, out: Path) -> int:
    """Write the vectors of a corpus's words in the form that fastText's training reads.

    They are unit vectors less their mean, on the principal axes of the corpus: those of its words,
    each weighted by its inverse document frequency and counted as often as documents have it.
    Memory holds the corpus's words and their vectors, and no others of the source.

    Args:
        source: word vectors as text (.vec), plain or in gzip.
        corpus: the texts of the training, one a line.
        dim: values of a vector.
        out: the file to write.

    Returns:
        how many of the corpus's words the source has.

    Raises:
        ModelError: the source is of another kind or damaged, its vectors are shorter than `dim`,
            or it has none of the words.
    """
    if file_kind.detect_kind(source) != "text":
        raise ModelError(f"{source}: training starts from word vectors as text (.vec or .vec.gz)")
    documents, count = _document_frequencies(corpus)
    vectors = VecSource(source, only=documents)
    if vectors.header.dim < dim:
        raise ModelError(
            f"{source}: its vectors have {vectors.header.dim} values, and model.dim is {dim}; "
            f"set model.dim = {vectors.header.dim} or less"
        )
    parts = [part for part, _ in vectors.vectors()]
    words = vectors.words.to_list()
    if not words:
        raise ModelError(
            f"{source}: has none of the catalogue's words; give vectors of words in the form that "
            "text.word_form names, in the catalogue's language"
        )
    frequencies = np.array([documents[word] for word in words])
    reduced = _reduce(np.concatenate(parts), frequencies, count, dim)
    with out.open("wb") as file:
        file.write(b"%d %d\n" % reduced.shape)
        for word, row in zip(words, reduced * _START_LENGTH, strict=True):
            file.write(word + b" " + b" ".join(b"%.6g" % value for value in row) + b"\n")
    return len(words)


def _document_frequencies(corpus: Path) -> tuple[Counter[bytes], int]:
    """Count in how many lines each word is, and the lines."""
    frequencies: Counter[bytes] = Counter()
    lines = 0
    with corpus.open("rb") as file:
        for line in file:
            frequencies.update(set(line.split()))
            lines += 1
    return frequencies, lines


def _reduce(
    vectors: Floats, frequencies: npt.NDArray[np.int64], documents: int, dim: int
) -> Floats:
    """Return unit vectors on the principal axes of documents: float32[n, dim].

    Args:
        vectors: float32[n, k], unit rows.
        frequencies: int64[n], in how many documents each word is.
        documents: their number.
        dim: values of a vector, k or less.
    """
    centred = vectors - vectors.mean(axis=0)
    normalize_rows(centred)
    weights = document_weights(frequencies, documents) * np.sqrt(frequencies)
    weighted = centred * weights[:, None].astype(np.float32)
    axes = np.linalg.eigh((weighted.T @ weighted).astype(np.float64))[1][:, ::-1][:, :dim]
    reduced: Floats = (centred @ axes).astype(np.float32)
    normalize_rows(reduced)
    return reduced
