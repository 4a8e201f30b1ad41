"""A batch of token lists as runs of codes of its unique tokens."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.fasttext.bytestrings import ByteStrings, offsets_from_lengths


@dataclass(frozen=True)
class TokenBatch:
    """Token lists.

    Attributes:
        unique: the unique tokens.
        codes: int[k], places in `unique`, list after list.
        offsets: int64[n + 1], where each list starts.
    """

    unique: ByteStrings
    codes: npt.NDArray[np.integer]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def from_arrow(cls, tokens: pa.Array, offsets: npt.NDArray[np.int64]) -> "TokenBatch":
        """Find the unique tokens of lists; nulls are left out.

        Args:
            tokens: k strings or binaries, list after list.
            offsets: int64[n + 1], where each list starts.
        """
        encoded = tokens.dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return cls(ByteStrings.from_arrow(encoded.dictionary), codes, offsets).keep(codes >= 0)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64[n], tokens of each list."""
        return np.diff(self.offsets)

    def keep(self, chosen: npt.NDArray[np.bool_]) -> "TokenBatch":
        """The lists with only the tokens for which bool[k] is true."""
        if chosen.all():
            return self
        return TokenBatch(
            self.unique, self.codes[chosen], offsets_from_lengths(chosen)[self.offsets]
        )

    def end_with(self, mark: bytes) -> "TokenBatch":
        """Cut each list before its first `mark` and append one; an empty list stays empty."""
        unique, found = self.unique, np.flatnonzero(self.unique.equal_to(mark))
        code = int(found[0]) if len(found) else len(unique)
        if not len(found):
            unique = unique.append(mark)
        is_mark = self.codes == code
        before = offsets_from_lengths(is_mark)
        at_start = np.repeat(before[self.offsets[:-1]], self.lengths)
        cut = self.keep((before[:-1] == at_start) & ~is_mark)
        ended = self.lengths > 0
        codes = np.insert(cut.codes, cut.offsets[1:][ended], code)
        return TokenBatch(unique, codes, offsets_from_lengths(cut.lengths + ended))
