"""The fastText library: the only module that calls it.

`fasttext-community` is imported as `fasttext`; unlike fasttext 0.9.3 it works with NumPy 2 and
starts training from initialised memory.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class LibraryEmbedder:
    """A model in the library's own memory: fast to write, and a copy in each process.

    Attributes:
        dim: length of a vector.
    """

    def __init__(self, path: Path) -> None:
        import fasttext

        self._model: Any = fasttext.load_model(str(path))
        self._supervised = bool(self._model.get_labels()) if self._is_supervised() else False
        self.dim: int = self._model.get_dimension()

    def _is_supervised(self) -> bool:
        return str(self._model.f.getArgs().model).endswith("supervised")

    def embed(self, token_lists: Sequence[Sequence[str]]) -> npt.NDArray[np.float32]:
        """The library's sentence vector of each token list.

        Args:
            token_lists: n lists of tokens; no token holds white space.

        Returns:
            float32[n, dim]: of an unsupervised model the mean of the tokens' unit vectors, tokens
            without a vector left out, a zero row where none has one; of a supervised model the
            mean of its input rows.
        """
        if self._supervised:
            return self._embed_lines(token_lists)
        lengths = np.fromiter(map(len, token_lists), dtype=np.int64, count=len(token_lists))
        index: dict[str, int] = {}
        places = [index.setdefault(token, len(index)) for tokens in token_lists for token in tokens]
        out = np.zeros((len(token_lists), self.dim), dtype=np.float32)
        if not places:
            return out
        words = np.stack([self._model.get_word_vector(token) for token in index])
        norms = np.linalg.norm(words, axis=1)
        has_vector = norms > 0
        words[has_vector] /= norms[has_vector, None]
        of_row = np.repeat(np.arange(len(token_lists)), lengths)
        np.add.at(out, of_row, words[places])
        counts = np.bincount(of_row, weights=has_vector[places], minlength=len(token_lists))
        out /= np.maximum(counts, 1).astype(np.float32)[:, None]
        return out

    def _embed_lines(self, token_lists: Sequence[Sequence[str]]) -> npt.NDArray[np.float32]:
        out = np.zeros((len(token_lists), self.dim), dtype=np.float32)
        for row, tokens in enumerate(token_lists):
            if tokens:
                out[row] = self._model.get_sentence_vector(" ".join(tokens))
        return out


def train(corpus: Path, out: Path, **settings: object) -> None:
    """Train an unsupervised model on a file of space-separated tokens, and save it as .bin."""
    import fasttext

    fasttext.train_unsupervised(str(corpus), verbose=2, **settings).save_model(str(out))
