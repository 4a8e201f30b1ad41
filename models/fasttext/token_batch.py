"""A batch of token lists, as codes of its unique tokens."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.fasttext.bytestrings import ByteStrings, offsets_from_lengths


@dataclass(frozen=True)
class TokenBatch:
    """n token lists.

    Attributes:
        unique: the unique tokens.
        codes: int[k], the tokens as indices into `unique`, list after list.
        offsets: int64[n + 1], where in `codes` each list starts and the last one ends.
    """

    unique: ByteStrings
    codes: npt.NDArray[np.integer]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def from_arrow(cls, tokens: pa.Array, offsets: npt.NDArray[np.int64]) -> "TokenBatch":
        """Make a batch of an Arrow array; nulls are left out.

        Args:
            tokens: k strings or binaries, list after list.
            offsets: int64[n + 1], where each list starts and the last one ends.
        """
        encoded = tokens.dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return cls(ByteStrings.from_arrow(encoded.dictionary), codes, offsets).filter(codes >= 0)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64[n], the number of tokens of each list."""
        return np.diff(self.offsets)

    def filter(self, mask: npt.NDArray[np.bool_]) -> "TokenBatch":
        """Return the lists with only the tokens for which bool[k] is true."""
        if mask.all():
            return self
        return TokenBatch(self.unique, self.codes[mask], offsets_from_lengths(mask)[self.offsets])

    def end_with(self, mark: bytes) -> "TokenBatch":
        """Cut each list before its first `mark` and append one; an empty list stays empty."""
        unique, matches = self.unique, np.flatnonzero(self.unique.equal_to(mark))
        code = int(matches[0]) if len(matches) else len(unique)
        if not len(matches):
            unique = unique.append(mark)
        is_mark = self.codes == code
        marks_before = offsets_from_lengths(is_mark)
        marks_at_start = np.repeat(marks_before[self.offsets[:-1]], self.lengths)
        cut = self.filter((marks_before[:-1] == marks_at_start) & ~is_mark)
        has_end = self.lengths > 0
        codes = np.insert(cut.codes, cut.offsets[1:][has_end], code)
        return TokenBatch(unique, codes, offsets_from_lengths(cut.lengths + has_end))
