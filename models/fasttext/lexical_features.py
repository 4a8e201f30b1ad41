"""Features of the lexical part of a vector: hashed words and character n-grams.

The features are part of the packed format: another definition needs a new VERSION.
"""

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from models.fasttext.bytestrings import ByteStrings, offsets_from_lengths
from models.fasttext.hashing import GOLDEN_GAMMA, Hashes, mix64
from models.fasttext.ngrams import bracket, hash_ngrams
from models.fasttext.row_sums import Floats

VERSION = 1
MINN, MAXN = 2, 3
# Coordinates of a vector that one feature falls on.
PLACES = 4

# ByteStrings.hash64 reads every byte of words up to this length only.
_HASH64_BYTES = 72
# Makes the features of n-grams differ from those of words with the same characters.
_NGRAM_SEED = np.uint64(0xD1B54A32D192ED03)


def word_features(words: ByteStrings) -> Hashes:
    """Return one feature for each word, a hash of all its bytes: uint64[n]."""
    hashes = words.hash64()
    long = np.flatnonzero(words.lengths > _HASH64_BYTES)
    for index, word in zip(long.tolist(), words.take(long).to_list(), strict=True):
        hashes[index] = int.from_bytes(blake2b(word, digest_size=8).digest(), "little")
    return hashes


def ngram_features(words: ByteStrings) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Return the features of all n-grams of `<word>` that have MINN to MAXN characters.

    Returns:
        uint64[k], word after word; an n-gram that occurs twice is there twice. int64[n + 1],
        where each word's features start and the last one's end.
    """
    if len(words) == 0:
        return np.zeros(0, np.uint64), np.zeros(1, np.int64)
    hashes, word = hash_ngrams(bracket(words), MINN, MAXN)
    counts = np.bincount(word, minlength=len(words))
    features = _splitmix64(hashes.astype(np.uint64) + _NGRAM_SEED)
    return features, offsets_from_lengths(counts)


def random_projection(
    features: Hashes, weights: Floats, offsets: npt.NDArray[np.int64], dim: int
) -> Floats:
    """Project segments of features onto vectors of `dim` coordinates.

    A feature becomes a vector with PLACES values of either sign and the length of its weight;
    two features are nearly orthogonal. Source: sparse random projections (Li, Hastie and Church
    2006), with coordinates and signs by hash (Weinberger et al. 2009).

    Args:
        features: uint64[k].
        weights: float32[k].
        offsets: int64[n + 1], where each segment starts and the last one ends.
        dim: length of a vector.

    Returns:
        float32[n, dim], each segment added up from its first feature to its last.
    """
    steps = np.arange(1, PLACES + 1, dtype=np.uint64) * GOLDEN_GAMMA
    draws = _splitmix64((features[:, None] + steps).ravel())
    columns = ((draws >> np.uint64(32)) * np.uint64(dim)) >> np.uint64(32)
    signs = np.where(draws & np.uint64(1), np.float32(1), np.float32(-1))
    values = signs * np.repeat(weights * np.float32(PLACES**-0.5), PLACES)
    shape = (len(offsets) - 1, dim)
    projected = csr_matrix((values, columns.astype(np.int32), offsets * PLACES), shape=shape)
    # toarray adds values of the same coordinate in their order.
    return np.asarray(projected.toarray(), dtype=np.float32)


def _splitmix64(numbers: Hashes) -> Hashes:
    """Return the next output of splitmix64 for each number as its state."""
    return mix64(numbers + GOLDEN_GAMMA)
