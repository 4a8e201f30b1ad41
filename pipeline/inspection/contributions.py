"""The tokens that two items share, and what each contributes to their score."""

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pyarrow as pa

from models import embedder
from models.fasttext import BlendEmbedder, Embedder, LibraryEmbedder
from models.fasttext.word_contributions import WordContributions, pairwise_products
from pipeline.query.published import Published
from pipeline.stages.embed.batches import field_tokens

# Tokens of the title, of the description and of each field, separated by spaces.
Texts = tuple[str, ...]


@dataclass(frozen=True)
class Contributions:
    """The parts of a score. All but the tokens are None if the score can't be taken apart.

    Attributes:
        meaning: the part of the model's vectors.
        letters: the part of the letters' vectors.
        tokens: tokens of both items, each with the share of the score that it contributes paired
            with itself; the largest first.
        other: the share of all other pairs of tokens, which are only alike.
    """

    meaning: float | None
    letters: float | None
    tokens: list[tuple[str, float | None]]
    other: float | None

    def as_json(self) -> dict[str, Any]:
        """The contributions for programs."""
        return {
            "meaning": _round(self.meaning),
            "letters": _round(self.letters),
            "shared": [{"token": token, "share": _round(share)} for token, share in self.tokens],
            "other_share": _round(self.other),
        }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


class TokenModel:
    """The model of a version, which explains scores by tokens."""

    def __init__(self, published: Published) -> None:
        """Load the model.

        Raises:
            UsageError: the model is not in the store.
        """
        blend = published.blend
        self._model = embedder.load_shipped(published.model(), None, blend)
        self._has_letters = blend is not None and blend.dim > 0

    def unknown_tokens(self, tokens: list[str]) -> list[str] | None:
        """Tokens outside the model's vocabulary, which it knows by their letters only.

        None if the model is an encoder.
        """
        if not isinstance(self._model, Embedder | LibraryEmbedder | BlendEmbedder):
            return None
        distinct = list(dict.fromkeys(tokens))
        in_vocabulary = self._model.in_vocabulary(distinct).tolist()
        return [token for token, known in zip(distinct, in_vocabulary, strict=True) if not known]

    def phrase_tokens(self, texts: Texts) -> list[str]:
        """Tokens of a title that are left out because they belong to promotional phrases."""
        title = self._tokens_read(texts)[0]
        left_out = Counter(texts[0].split()) - Counter(title)
        return [token for token in dict.fromkeys(texts[0].split()) if left_out[token]]

    def contributions(self, one: Texts, other: Texts) -> Contributions:
        """The parts of the score of two items."""
        first, second = self._word_contributions(one), self._word_contributions(other)
        if first is None or second is None:
            return Contributions(None, None, _common_tokens(one, other), None)
        meaning, letters = pairwise_products(first, second)
        products = meaning + letters
        score = float(products.sum())
        column = {word: n for n, word in enumerate(second.words)}
        shares = {
            word: float(products[row, column[word]]) / (score or 1.0)
            for row, word in enumerate(first.words)
            if word in column
        }
        tokens = sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))
        return Contributions(
            meaning=float(meaning.sum()),
            letters=float(letters.sum()) if self._has_letters else None,
            tokens=[(word, share) for word, share in tokens],
            other=1.0 - sum(shares.values()),
        )

    def _word_contributions(self, texts: Texts) -> WordContributions | None:
        """What each token contributes to an item's vector; None if the model is an encoder."""
        title, *others = self._tokens_read(texts)
        if isinstance(self._model, BlendEmbedder):
            return self._model.word_contributions(title, *others)
        if isinstance(self._model, Embedder | LibraryEmbedder):
            return self._model.word_contributions([*title, *chain(*others)])
        return None

    def _tokens_read(self, texts: Texts) -> list[list[str]]:
        """The tokens of title, description and fields that the model reads."""
        if not isinstance(self._model, BlendEmbedder):
            return [text.split() for text in texts]
        return [column[0].as_py() for column in field_tokens(self._model, pa.array([list(texts)]))]


def _common_tokens(one: Texts, other: Texts) -> list[tuple[str, float | None]]:
    others = {token for field in other for token in field.split()}
    common = [token for field in one for token in field.split() if token in others]
    return [(token, None) for token in dict.fromkeys(common)]
