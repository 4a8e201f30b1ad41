"""The only module that calls the fastText library.

`fasttext-community` is imported as `fasttext`. Unlike fasttext 0.9.3 it works with NumPy 2 and
starts training from initialised memory.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.errors import ModelError
from models.fasttext.binary_layout import Layout
from models.fasttext.bytestrings import encode, offsets_from_lengths
from models.fasttext.row_sums import Floats, normalize_rows, sum_rows
from models.fasttext.word_contributions import (
    TitleWords,
    WordContributions,
    mean_contributions,
    mean_title_words,
)
from models.unpicklable import Unpicklable


class LibraryEmbedder(Unpicklable):
    """A model in the library's own memory, a copy in each process.

    Attributes:
        dim: length of a vector.
        reads: "tokens".
    """

    reads: Literal["tokens", "text"] = "tokens"

    def __init__(self, path: Path, layout: Layout) -> None:
        """Load a file that `read_layout` has checked.

        Raises:
            ModelError: the library refuses the file in spite of that.
        """
        import fasttext

        try:
            self._model: Any = fasttext.load_model(str(path))
        except (ValueError, RuntimeError, MemoryError) as error:
            raise ModelError(f"{path}: the fastText library refuses it: {error}") from error
        self._vector: Any = fasttext.FastText.fasttext.Vector
        self._supervised = layout.model == "supervised"
        self.dim: int = layout.dim

    def embed(self, token_lists: Sequence[Sequence[str]]) -> Floats:
        """Return the library's sentence vector of each token list.

        Args:
            token_lists: n lists of tokens. Empty tokens are left out. A supervised model reads
                lines, so white space splits a token there.

        Returns:
            float32[n, dim]. For an unsupervised model a vector is the mean of the tokens' unit
            vectors, without tokens that have none; for a supervised model it is the mean of the
            input rows. It is zeros for an empty list and where no token has a vector.
        """
        encoded = [
            [encode(token) for token in tokens if token is not None] for tokens in token_lists
        ]
        return self._embed_lines(encoded) if self._supervised else self._embed_words(encoded)

    def in_vocabulary(self, words: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which words are in the model's vocabulary: bool[n]."""
        return np.array([self._model.get_word_id(word) >= 0 for word in words], dtype=bool)

    def word_contributions(self, tokens: Sequence[str]) -> WordContributions | None:
        """Return what each token adds to the vector; None for a supervised model (it is no sum)."""
        return None if self._supervised else mean_contributions(self, tokens)

    def title_words(self, titles: pa.Array, descriptions: pa.Array) -> TitleWords | None:
        """As `BlendEmbedder.title_words`; None for a supervised model."""
        return None if self._supervised else mean_title_words(self, titles, descriptions)

    def _embed_words(self, token_lists: list[list[bytes]]) -> Floats:
        index: dict[bytes, int] = {}
        # The library splits a sentence into words, so it never sees an empty one.
        word_lists = [[token for token in tokens if token] for tokens in token_lists]
        indices = [index.setdefault(token, len(index)) for tokens in word_lists for token in tokens]
        words = np.empty((len(index), self.dim), dtype=np.float32)
        for token, number in index.items():
            words[number] = self._call(self._model.f.getWordVector, token)
        has_vector = normalize_rows(words)[indices]
        lengths = np.fromiter(map(len, word_lists), np.int64, count=len(word_lists))
        offsets = offsets_from_lengths(lengths)
        counts = np.diff(offsets_from_lengths(has_vector)[offsets])
        sums = sum_rows(words, np.array(indices, dtype=np.int64), offsets)
        sums /= np.maximum(counts, 1).astype(np.float32)[:, None]
        return sums

    def _embed_lines(self, token_lists: list[list[bytes]]) -> Floats:
        out = np.zeros((len(token_lists), self.dim), dtype=np.float32)
        for row, tokens in enumerate(token_lists):
            if tokens:
                line = b" ".join(tokens).replace(b"\n", b" ") + b"\n"
                out[row] = self._call(self._model.f.getSentenceVector, line)
        return out

    def _call(self, function: Any, text: bytes) -> Any:  # noqa: ANN401 - the library is untyped
        vector = self._vector(self.dim)
        function(vector, text)
        return np.array(vector)


def train(corpus: Path, out: Path, **settings: object) -> None:
    """Train an unsupervised model on a file of space-separated tokens, and save it as .bin."""
    import fasttext

    fasttext.train_unsupervised(str(corpus), verbose=2, **settings).save_model(str(out))
