"""What the lexical part of a vector is made of: words and their character n-grams, hashed.

The definition is part of the packed format: a change needs another VERSION.
"""

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from models.fasttext.bytestrings import ByteStrings, offsets_from_lengths
from models.fasttext.ngrams import bracket, hash_ngrams
from models.fasttext.row_sums import Floats

VERSION = 1
MINN, MAXN = 2, 3
PLACES = 4

# Of longer words ByteStrings.hash64 leaves bytes out.
_HASHED_WHOLE = 72

Hashes = npt.NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIXERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
# So that a word and an n-gram of the same characters have nothing in common.
_NGRAM_SEED = np.uint64(0xD1B54A32D192ED03)


def word_features(words: ByteStrings) -> Hashes:
    """uint64[n]: one feature for each word, of all its bytes."""
    hashes = words.hash64()
    # That does not look at every byte of long ones.
    long = np.flatnonzero(words.lengths > _HASHED_WHOLE)
    for place, word in zip(long.tolist(), words.take(long).to_list(), strict=True):
        hashes[place] = int.from_bytes(blake2b(word, digest_size=8).digest(), "little")
    return hashes


def ngram_features(words: ByteStrings) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """The features of all n-grams of `<word>`, of MINN to MAXN characters.

    Returns:
        uint64[k], word after word, one that occurs twice twice; int64[n + 1], where each word's
        start.
    """
    if len(words) == 0:
        return np.zeros(0, np.uint64), np.zeros(1, np.int64)
    short, word = hash_ngrams(bracket(words), MINN, MAXN)
    counts = np.bincount(word, minlength=len(words))
    return _mixed(short.astype(np.uint64) + _NGRAM_SEED), offsets_from_lengths(counts)


def random_projection(
    hashes: Hashes, weights: Floats, offsets: npt.NDArray[np.int64], dim: int
) -> Floats:
    """The sums of runs of features, each at PLACES signed places of `dim`.

    Two features have about nothing in common, and one a length of its weight. Source: sparse
    random projections (Li, Hastie and Church 2006), their places and signs by hash (Weinberger et
    al. 2009).

    Args:
        hashes: uint64[k], the features.
        weights: float32[k].
        offsets: int64[n + 1], where each run starts and the last ends.
        dim: places to fall on.

    Returns:
        float32[n, dim], each run added up from its first feature to its last.
    """
    numbers = np.arange(1, PLACES + 1, dtype=np.uint64) * _STEP
    drawn = _mixed((hashes[:, None] + numbers).ravel())
    places = ((drawn >> np.uint64(32)) * np.uint64(dim)) >> np.uint64(32)
    signs = np.where(drawn & np.uint64(1), np.float32(1), np.float32(-1))
    values = signs * np.repeat(weights * np.float32(PLACES**-0.5), PLACES)
    shape = (len(offsets) - 1, dim)
    parts = csr_matrix((values, places.astype(np.int32), offsets * PLACES), shape=shape)
    # Places that fall together are added up in their order.
    return np.asarray(parts.toarray(), dtype=np.float32)


def _mixed(numbers: Hashes) -> Hashes:
    """Each number mixed as splitmix64 mixes."""
    mixed = numbers + _STEP
    for shift, mixer in zip((30, 27), _MIXERS, strict=True):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * mixer
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)
