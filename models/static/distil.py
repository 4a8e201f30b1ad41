"""Distilling: rows of words, so that weighted sums of them are near an encoder's vectors of items.

The vectors of a sample of items are the targets of a ridge regression on the items' weighted words.
The encoder never sees a word alone: what it makes of whole texts tells more about the words in them
(benchmarks/README.md).

Sources: static models fitted to an encoder's vectors of texts, MinishLab's tokenlearn (2024), there
by gradient descent; conjugate gradients, Hestenes and Stiefel 1952. The weights of words are those
of `models.fasttext.blend`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix, diags

from models.errors import ModelError
from models.fasttext.blend import Blend
from models.fasttext.bytestrings import ByteStrings, encode
from models.fasttext.catalogue_statistics import document_weights
from models.fasttext.embedder import Embedder
from models.fasttext.packing import FILE_NAME, new_file, write_packed
from models.fasttext.row_sums import Floats
from models.fasttext.source import DISTILLED_MODEL, Header

# How strongly rows are drawn to zero: a word counts as if it were once more in an item of zeros.
RIDGE = 1.0
_MAX_ITERATIONS, _TOLERANCE = 200, 1e-4

Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Words:
    """The vocabulary of a catalogue.

    Attributes:
        words: n different words.
        documents: int64[n], how many items have each.
        total: number of items.
    """

    words: list[str]
    documents: npt.NDArray[np.int64]
    total: int

    @property
    def weights(self) -> Float64s:
        """float64[n], inverse document frequencies as a blend computes them."""
        return document_weights(self.documents, self.total)


def design(words: Words, titles: pa.Array, descriptions: pa.Array) -> csr_matrix:
    """Return the words of items, weighted as a blend weights them: float64[items, n], unit rows.

    Args:
        words: the vocabulary; other words are left out.
        titles: lists of strings, the tokens of the items' titles.
        descriptions: those of their descriptions.
    """
    blend, known = Blend(), pa.array(words.words, pa.large_string())
    total = csr_matrix((len(titles), len(words.words)))
    for field, weight in ((titles, blend.title_weight), (descriptions, blend.description_weight)):
        tokens, offsets = Embedder.flatten_arrow(field)
        columns = pc.index_in(tokens.cast(pa.large_string()), value_set=known)
        is_known = np.asarray(columns.is_valid())
        kept = np.concatenate([[0], np.cumsum(is_known)])[offsets]
        indices = np.array(columns.drop_null())
        counts = csr_matrix((np.ones(len(indices)), indices, kept), shape=total.shape)
        counts.sum_duplicates()
        counts.data = 1 + np.log(counts.data)
        total = total + weight * counts
    total = csr_matrix(total @ diags(words.weights))
    norms = np.sqrt(np.asarray(total.multiply(total).sum(axis=1)).ravel())
    return csr_matrix(diags(1 / np.where(norms > 0, norms, 1)) @ total)


def principal_axes(vectors: Floats, dim: int) -> tuple[Float64s, Float64s]:
    """Return the mean of vectors, float64[k], and their first principal axes, float64[k, dim]."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean
    _, axes = np.linalg.eigh(centred.T @ centred)
    first = axes[:, ::-1][:, :dim]
    # The sign of an axis is arbitrary: its largest value is made positive.
    return mean, first * np.sign(first[np.abs(first).argmax(axis=0), np.arange(first.shape[1])])


def check_dim(dim: int, encoder_dim: int) -> None:
    """Check that an encoder's vectors have as many dimensions as rows are to have.

    Raises:
        ModelError: they have fewer.
    """
    if dim > encoder_dim:
        raise ModelError(f"the encoder's vectors have {encoder_dim} dimensions, not {dim}")


def fit(weighted: csr_matrix, targets: Floats, dim: int) -> Floats:
    """Return the rows of words: float32[words, dim].

    Args:
        weighted: float64[items, words], see `design`.
        targets: float32[items, k], an encoder's vectors of the items.
        dim: length of a row; the first principal axes of the targets are kept.

    Raises:
        ModelError: the encoder's vectors have fewer dimensions.
    """
    check_dim(dim, targets.shape[1])
    mean, axes = principal_axes(targets, dim)
    return np.asarray(_solve(weighted, (targets - mean) @ axes), dtype=np.float32)


def _solve(weighted: csr_matrix, wanted: Float64s) -> Float64s:
    """Minimise |weighted @ x - wanted|² + RIDGE |x|² by conjugate gradients, column by column."""
    transposed = csr_matrix(weighted.T)
    solution = np.zeros((weighted.shape[1], wanted.shape[1]))
    residual = transposed @ wanted
    direction = residual.copy()
    squares = first = np.sum(residual**2, axis=0)
    for _ in range(_MAX_ITERATIONS):
        if np.all(squares <= _TOLERANCE**2 * first):
            break
        image = transposed @ (weighted @ direction) + RIDGE * direction
        curvature = np.sum(direction * image, axis=0)
        step = np.divide(squares, curvature, out=np.zeros_like(squares), where=curvature > 0)
        solution += step * direction
        residual -= step * image
        before, squares = squares, np.sum(residual**2, axis=0)
        direction *= np.divide(squares, before, out=np.zeros_like(squares), where=before > 0)
        direction += residual
    return solution


class _WordRows:
    """Words and their rows as the source of a packed file; see `models.fasttext.source.Source`."""

    kept_ngrams: npt.NDArray[np.int32] | None = np.zeros(0, dtype=np.int32)

    def __init__(self, words: Sequence[str], rows: Floats, text_fingerprint: str) -> None:
        self.words = ByteStrings.from_list([encode(word) for word in words])
        sizes = rows.shape[1], len(words), 0, 0, 0, 1
        self.header = Header(DISTILLED_MODEL, *sizes, text_fingerprint=text_fingerprint)
        self._rows = rows

    def vectors(self) -> Iterator[tuple[Floats, npt.NDArray[np.bool_]]]:
        yield self._rows, np.asarray(self._rows.any(axis=1))

    def rows(self) -> Iterator[Floats]:
        return iter(())


def write(
    words: Sequence[str], rows: Floats, out_dir: Path, *, text_fingerprint: str, float16: bool
) -> Path:
    """Write rows of words as a packed static model.

    Args:
        words: n different words.
        rows: float32[n, dim].
        out_dir: where to write; it is created if it does not exist.
        text_fingerprint: of the rules that made the words.
        float16: whether rows are stored in half the space.

    Raises:
        ModelError: the folder can't be written.
    """
    source = _WordRows(words, rows, text_fingerprint)
    with new_file(out_dir) as packed:
        write_packed(source, source.header, packed, float16)
    return out_dir / FILE_NAME
