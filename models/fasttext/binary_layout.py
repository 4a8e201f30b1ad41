"""Where the parts of a fastText .bin or .ftz file are."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Dense:
    """Where a float32 matrix is: offset in bytes, rows, columns."""

    offset: int
    rows: int
    columns: int

    def values(self) -> Iterator[tuple[int, int]]:
        """Runs of float32 values: offset, count."""
        yield self.offset, self.rows * self.columns


@dataclass(frozen=True)
class Quantizer:
    """A product quantiser: its centroids' offset, and how many values each of its parts has."""

    offset: int
    dim: int
    parts: int
    part_dim: int
    last_dim: int


@dataclass(frozen=True)
class Quantized:
    """Where a quantised matrix is: offsets of the codes of rows and of their norms, if any."""

    rows: int
    columns: int
    codes: int
    quantizer: Quantizer
    norm_codes: int
    norms: Quantizer | None

    def values(self) -> Iterator[tuple[int, int]]:
        """Runs of float32 values: offset, count."""
        yield self.quantizer.offset, self.quantizer.dim * 256
        if self.norms:
            yield self.norms.offset, 256


@dataclass(frozen=True)
class Layout:
    """What a fastText file holds and where.

    Attributes:
        model: "cbow", "skipgram" or "supervised".
        dim: length of a vector.
        nwords: words in the vocabulary.
        nlabels: labels, of a supervised model above all.
        bucket: what n-grams' hashes are taken modulo; of an unpruned model, its n-gram rows.
        minn, maxn: shortest and longest n-gram, in characters; maxn 0: none.
        word_ngrams: longest n-gram of words, of a supervised model; 1: none.
        vocabulary: offset of the first entry.
        entry_ends: int64[nwords + nlabels], offset of each entry's end.
        pruned: int32[k, 2], remainder and row of the n-grams that a pruned model kept; None: all.
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

    @property
    def quantized(self) -> bool:
        """Whether the input matrix is a product quantiser's codes."""
        return isinstance(self.input, Quantized)
