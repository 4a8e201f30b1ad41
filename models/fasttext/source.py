"""The interface of a model file that can be packed: header, words, word vectors, n-gram rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.fasttext.bytestrings import ByteStrings
from models.fasttext.row_sums import Floats

# The name of a model of which `models.static.distil` made the rows of words.
DISTILLED_MODEL = "static"


@dataclass(frozen=True)
class Header:
    """The settings of a model. Its fields are stored in packed files under these names.

    Attributes:
        model: "cbow", "skipgram", "supervised", "vectors" for word vectors without n-grams, or
            "static" for rows of words of any length, which `models.static.distil` makes.
        dim: length of a vector.
        nwords: words in the vocabulary; the entries after them are labels.
        bucket: number of remainders of n-gram hashes.
        minn, maxn: shortest and longest n-gram, in characters; maxn 0 if there are none.
        word_ngrams: longest n-gram of words in a supervised model; 1 if there are none.
        source_sha256: of the file that the model was packed from.
        text_fingerprint: of the rules that made the tokens for the training, if known.
    """

    model: str
    dim: int
    nwords: int
    bucket: int
    minn: int
    maxn: int
    word_ngrams: int
    source_sha256: str = ""
    text_fingerprint: str = ""

    @property
    def supervised(self) -> bool:
        """Whether sentence vectors are means of raw rows instead of unit vectors."""
        return self.model == "supervised"

    @property
    def first_ngram(self) -> int:
        """Index of the first packed row of an n-gram; the rows before it are words'."""
        return self.nwords if self.supervised else 0


class Source(Protocol):
    """A model file that can be packed, read some thousand rows at a time.

    `words` is complete only after all of `vectors` was read.
    """

    @property
    def header(self) -> Header:
        """Settings of the model."""

    @property
    def words(self) -> ByteStrings:
        """The vocabulary; labels come after the words."""

    @property
    def kept_ngrams(self) -> npt.NDArray[np.int32] | None:
        """int32[k], ascending: the n-gram remainders that have rows; None if all have one."""

    def vectors(self) -> Iterator[tuple[Floats, npt.NDArray[np.bool_]]]:
        """Yield the unit vectors of the entries, float32[k, dim], and which have one, bool[k].

        A supervised model yields nothing, because its sentence vectors are means of input rows.
        """

    def rows(self) -> Iterator[Floats]:
        """Yield the input rows of n-grams, float32[k, dim].

        For a supervised model the rows of words come first.
        """
