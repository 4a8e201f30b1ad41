"""A batch of token lists as runs of codes of its unique tokens."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.fasttext.bytestrings import ByteStrings, offsets_of


@dataclass(frozen=True)
class Batch:
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
    def of(cls, tokens: pa.Array, offsets: npt.NDArray[np.int64]) -> "Batch":
        """Find the unique tokens of lists; nulls are left out.

        Args:
            tokens: k strings or binaries, list after list.
            offsets: int64[n + 1], where each list starts.
        """
        encoded = tokens.dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return cls(ByteStrings.of_arrow(encoded.dictionary), codes, offsets).keep(codes >= 0)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64[n], tokens of each list."""
        return np.diff(self.offsets)

    def keep(self, chosen: npt.NDArray[np.bool_]) -> "Batch":
        """The lists with only the tokens for which bool[k] is true."""
        if chosen.all():
            return self
        return Batch(self.unique, self.codes[chosen], offsets_of(chosen)[self.offsets])

    def end_with(self, mark: bytes) -> "Batch":
        """Cut each list before its first `mark` and append one; an empty list stays empty."""
        unique, found = self.unique, np.flatnonzero(self.unique.equal_to(mark))
        code = int(found[0]) if len(found) else len(unique)
        if not len(found):
            unique = unique.append(mark)
        is_mark = self.codes == code
        before = offsets_of(is_mark)
        at_start = np.repeat(before[self.offsets[:-1]], self.lengths)
        cut = self.keep((before[:-1] == at_start) & ~is_mark)
        ended = self.lengths > 0
        codes = np.insert(cut.codes, cut.offsets[1:][ended], code)
        return Batch(unique, codes, offsets_of(cut.lengths + ended))
