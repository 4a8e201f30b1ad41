"""Vectors of texts from the table of a static model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix

from models.errors import ModelError
from models.fasttext import packed_statistics, safetensors_file
from models.fasttext.catalogue_statistics import CatalogueStatistics
from models.fasttext.row_sums import Floats, normalize_rows, sum_rows
from models.static.packing import FORMAT, VERSION
from models.static.tokens import TextTokens, TokenRules
from models.unpicklable import Unpicklable

_BLOCK_TEXTS = 1 << 12
_RULES = ("tokens", "max_tokens", "max_characters", "unknown")


class StaticEmbedder(Unpicklable):
    """A packed static model with a tokenizer; all processes of a host share the mapped table.

    Attributes:
        dim: length of a vector.
        statistics: of a catalogue, if the model has them.
        reads: "text", since `embed` takes fields of running text instead of tokens.
    """

    reads: Literal["tokens", "text"] = "text"

    def __init__(self, path: Path) -> None:
        """Map a packed file.

        Raises:
            ModelError: the file is damaged, of another version, or no static model with a
                tokenizer; or the extra is not installed.
        """
        metadata, arrays = safetensors_file.read(path)
        if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
            raise ModelError(f"{path}: no static model that this program reads; pack it again")
        try:
            self._rules = TokenRules(*(int(metadata[name]) for name in _RULES))
            self._normalize = metadata["normalize"] == "1"
            self._rows = arrays["rows"]
            tokenizer = arrays["tokenizer"].tobytes().decode()
            self.dim = int(self._rows.shape[1])
        except (KeyError, ValueError, IndexError) as error:
            raise ModelError(f"{path}: its header is damaged: {error}; pack it again") from error
        self._row_of_token = arrays.get("row_of_token")
        self._weights = arrays.get("weights")
        sizes = {len(self._rows) if self._row_of_token is None else len(self._row_of_token)}
        sizes |= set() if self._weights is None else {len(self._weights)}
        if min(sizes) < self._rules.tokens:
            raise ModelError(f"{path}: its tensors do not fit its header; pack it again")
        self._tokens = TextTokens(tokenizer, self._rules, path)
        self.statistics: CatalogueStatistics | None = packed_statistics.read(
            path, metadata, arrays, self.dim
        )

    def embed(self, token_lists: Sequence[Sequence[str]]) -> Floats:
        """Return the vector of each text: the mean of its tokens' rows, times their weights.

        Args:
            token_lists: n lists of text fields, a title and a description for instance; the
                fields of a list are joined by a space.

        Returns:
            float32[n, dim]; a zero row where no token counts.
        """
        texts = [" ".join(fields).strip() for fields in token_lists]
        out = np.empty((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(texts), _BLOCK_TEXTS):
            block = texts[start : start + _BLOCK_TEXTS]
            out[start : start + len(block)] = self._embed(block)
        if self._normalize:
            normalize_rows(out)
        return out

    def _embed(self, texts: list[str]) -> Floats:
        tokens, offsets = self._tokens.read(texts)
        unique, codes = np.unique(tokens, return_inverse=True)
        rows = unique if self._row_of_token is None else self._row_of_token[unique]
        table = np.asarray(self._rows[rows], dtype=np.float32)
        lengths = np.diff(offsets)
        ones = np.ones(len(codes), dtype=np.float32)
        counts = csr_matrix((ones, codes, offsets), shape=(len(texts), len(unique)))
        # A token that a text has twice is added once, with twice the weight.
        counts.sum_duplicates()
        occurrences = np.diff(counts.indptr)
        weights = counts.data / np.repeat(np.maximum(lengths, 1).astype(np.float32), occurrences)
        if self._weights is not None:
            weights = weights * self._weights[unique][counts.indices]
        return sum_rows(table, counts.indices, counts.indptr, weights)
