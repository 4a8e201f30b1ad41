"""The words that carry most of the scores of pairs: whole batches of pairs at a time.

What a word adds to two items' vectors has one direction, so what it contributes to their cosine is
the product of two lengths, summed over the parts of the vectors; see models.fasttext.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.fasttext.word_contributions import TitleWords
from pipeline.retrieval.ranking import Int64, concat_ranges, rank_in_row

# Words of an item that travel with it: those with the greatest lengths.
MAX_WORDS = 32
# Words of a pair that are shown.
SHOWN = 2
# A word as it travels: the feature of its token, and the lengths of what it adds to a vector.
_WORD = np.dtype([("hash", "<u8"), ("lengths", "<f4", 2)])

Words = npt.NDArray[np.void]


def pack_words(words: TitleWords) -> tuple[pa.Array, pa.Array]:
    """The words of items in cells: at most MAX_WORDS of each, in the order of their hashes.

    Returns:
        binary[n], words; and string[n], their tokens in the same order, separated by spaces.
    """
    row_of = np.repeat(np.arange(len(words.offsets) - 1), np.diff(words.offsets))
    squares = (words.lengths.astype(np.float64) ** 2).sum(axis=1)
    order = np.lexsort((words.hashes, -squares, row_of))
    kept = np.sort(order[rank_in_row(row_of) < MAX_WORDS])
    packed = np.empty(len(kept), dtype=_WORD)
    packed["hash"], packed["lengths"] = words.hashes[kept], words.lengths[kept]
    counts = np.bincount(row_of[kept], minlength=len(words.offsets) - 1)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    byte_offsets = pa.py_buffer(offsets * np.int32(_WORD.itemsize))
    cells = pa.Array.from_buffers(
        pa.binary(), len(counts), [None, byte_offsets, pa.py_buffer(packed)]
    )
    lists = pa.ListArray.from_arrays(pa.array(offsets), words.words.take(pa.array(kept)))
    return cells, pc.binary_join(lists, " ")


def _unpack(cells: pa.Array) -> tuple[Words, Int64]:
    """The words of all cells, [k], and how many each cell has, int64[n]; none for a null."""
    sizes = np.asarray(pc.fill_null(pc.binary_length(cells), 0)).astype(np.int64)
    content = b"".join(cells.drop_null().to_pylist())
    return np.frombuffer(content, dtype=_WORD), sizes // _WORD.itemsize


@dataclass(frozen=True)
class ShownTitles:
    """The words of items that can be shown.

    Attributes:
        words: [k], item after item.
        counts: int64[n], how many each item has.
        forms: string[k], how they are written.
        spans: int64[k, 2], where in the title.
    """

    words: Words
    counts: Int64
    forms: pa.Array
    spans: Int64

    @classmethod
    def of(
        cls, cells: pa.Array, tokens: pa.Array, shown: Sequence[Mapping[str, tuple[str, int, int]]]
    ) -> "ShownTitles":
        """Read the words of items.

        Args:
            cells: binary[n], of `pack_words`; null for none.
            tokens: string[n], of `pack_words`; null for none.
            shown: n times how tokens are written and where, by token.
        """
        words, counts = _unpack(cells)
        row_of = np.repeat(np.arange(len(counts)), counts)
        flat = [token for line in tokens.to_pylist() if line for token in line.split(" ")]
        entries = [shown[row].get(token) for row, token in zip(row_of.tolist(), flat, strict=True)]
        kept = np.array([entry is not None for entry in entries], dtype=bool)
        present = [entry for entry in entries if entry is not None]
        return cls(
            words[kept],
            np.bincount(row_of[kept], minlength=len(counts)),
            pa.array([form for form, _, _ in present], pa.string()),
            np.array([span for _, *span in present], dtype=np.int64).reshape(-1, 2),
        )


def best_words(titles: ShownTitles, title_of: Int64, others: pa.Array) -> pa.Array:
    """The words of pairs that contribute most to their scores.

    Args:
        titles: of n items.
        title_of: int64[pairs], the item of each pair.
        others: binary[pairs], the words of its neighbour, of `pack_words`; null for none.

    Returns:
        list<string>[pairs]: up to SHOWN words of both titles as the item's title has them, the
        greatest contribution first, equal ones by the word. Words that lie in one another, as in
        XZ-100 and XZ, are shown once, and so are words that are written alike.
    """
    pair, word, contribution = _contributions(titles, title_of, others)
    form = np.asarray(pc.rank(titles.forms, tiebreaker="dense")).astype(np.int64)
    order = np.lexsort((form[word], -contribution, pair))
    pair, word = pair[order], word[order]
    last_of = np.full(len(title_of), -1, dtype=np.int64)
    chosen = []
    for _ in range(SHOWN):
        first = np.flatnonzero(np.diff(pair, prepend=-1))
        chosen.append((pair[first], word[first]))
        last_of[pair[first]] = word[first]
        taken = last_of[pair]
        (starts, ends), (taken_starts, taken_ends) = titles.spans[word].T, titles.spans[taken].T
        is_apart = (starts >= taken_ends) | (ends <= taken_starts)
        is_apart &= form[word] != form[taken]
        pair, word = pair[is_apart], word[is_apart]
    pairs, words = (np.concatenate(values) for values in zip(*chosen, strict=True))
    in_order = np.argsort(pairs, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(pairs, minlength=len(title_of)))])
    forms = titles.forms.take(pa.array(words[in_order]))
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), forms)


def _contributions(
    titles: ShownTitles, title_of: Int64, others: pa.Array
) -> tuple[Int64, Int64, npt.NDArray[np.float64]]:
    """The shared words with a contribution: pair, place in `titles`, contribution; each [m]."""
    their_words, their_counts = _unpack(others)
    own_counts = titles.counts[title_of]
    starts = (np.cumsum(titles.counts) - titles.counts)[title_of]
    pairs = np.arange(len(title_of))
    own_pair, their_pair = np.repeat(pairs, own_counts), np.repeat(pairs, their_counts)
    own = concat_ranges(starts, own_counts)
    # Hashes become small numbers in the same order, so that pair and word fit into one number.
    known = np.unique(titles.words["hash"])
    size = len(known) + 1
    their_code = np.searchsorted(known, their_words["hash"])
    is_known = np.append(known, 0)[their_code] == their_words["hash"]
    their_keys = their_pair[is_known] * size + their_code[is_known]
    own_keys = own_pair * size + np.searchsorted(known, titles.words["hash"])[own]
    place = np.searchsorted(their_keys, own_keys)
    is_shared = np.append(their_keys, -1)[place] == own_keys
    own, own_pair = own[is_shared], own_pair[is_shared]
    theirs = their_words[is_known][place[is_shared]]
    products = titles.words["lengths"][own].astype(np.float64) * theirs["lengths"]
    contributions = products.sum(axis=1)
    carries = contributions > 0
    return own_pair[carries], own[carries], contributions[carries]
