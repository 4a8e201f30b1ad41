"""The offsets of the parts of a fastText .bin or .ftz file."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Dense:
    """A float32 matrix in the file: its offset in bytes, rows, columns."""

    offset: int
    rows: int
    columns: int

    def values(self) -> Iterator[tuple[int, int]]:
        """Yield the segments of float32 values: offset, count."""
        yield self.offset, self.rows * self.columns


@dataclass(frozen=True)
class Quantizer:
    """A product quantiser in the file.

    Attributes:
        offset: of the centroids, in bytes.
        dim: values of a row.
        parts: subspaces that a row is cut into.
        part_dim, last_dim: values of a part and of the last part.
    """

    offset: int
    dim: int
    parts: int
    part_dim: int
    last_dim: int


@dataclass(frozen=True)
class Quantized:
    """A quantised matrix in the file.

    Attributes:
        rows, columns: its shape.
        codes: offset of the rows' codes.
        quantizer: decodes them.
        norm_codes: offset of the codes of the rows' norms, if there are any.
        norms: decodes the norms; None if the rows have their own length.
    """

    rows: int
    columns: int
    codes: int
    quantizer: Quantizer
    norm_codes: int
    norms: Quantizer | None

    def values(self) -> Iterator[tuple[int, int]]:
        """Yield the segments of float32 values: offset, count."""
        yield self.quantizer.offset, self.quantizer.dim * 256
        if self.norms:
            yield self.norms.offset, 256


@dataclass(frozen=True)
class Layout:
    """The settings and the parts of a fastText file.

    Attributes:
        model: "cbow", "skipgram" or "supervised".
        dim: length of a vector.
        nwords: words in the vocabulary.
        nlabels: labels; usually only a supervised model has any.
        bucket: number of remainders of n-gram hashes, and of n-gram rows if it is not pruned.
        minn, maxn: shortest and longest n-gram, in characters; maxn 0 if there are none.
        word_ngrams: longest n-gram of words in a supervised model; 1 if there are none.
        vocabulary: offset of the first entry.
        entry_ends: int64[nwords + nlabels], offset of each entry's end.
        pruned: int32[k, 2], remainder and row of the n-grams that a pruned model kept; None if it
            is not pruned.
        input, output: the matrices.
    """

    model: str
    dim: int
    nwords: int
    nlabels: int
    bucket: int
    minn: int
    maxn: int
    word_ngrams: int
    vocabulary: int
    entry_ends: npt.NDArray[np.int64]
    pruned: npt.NDArray[np.int32] | None
    input: Dense | Quantized
    output: Dense | Quantized
