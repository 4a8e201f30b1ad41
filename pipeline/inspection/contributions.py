"""Which tokens two items share, and what each adds to their score."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from models import embedder
from models.fasttext import BlendEmbedder, Embedder, LibraryEmbedder
from models.fasttext.word_contributions import WordContributions, pairwise_products
from pipeline.query.published import Published
from pipeline.stages.embed.stage import fields

Texts = tuple[str, str]


@dataclass(frozen=True)
class Shares:
    """What a score is made of.

    Attributes:
        meaning: the part of it that is the model's; None where it can't be taken apart.
        letters: the part that is the letters'; None as well.
        tokens: those that both items have, and the share of the score that each adds with itself,
            the largest first; the share is None where the score can't be taken apart.
        other: the share of all other pairs of tokens, which are only alike; None as well.
    """

    meaning: float | None
    letters: float | None
    tokens: list[tuple[str, float | None]]
    other: float | None

    def shown(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "meaning": _rounded(self.meaning),
            "letters": _rounded(self.letters),
            "shared": [{"token": word, "share": _rounded(part)} for word, part in self.tokens],
            "other_share": _rounded(self.other),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


class Reader:
    """The model of a version, asked about tokens."""

    def __init__(self, published: Published) -> None:
        """Load the model.

        Raises:
            UsageError: it is not there.
        """
        self._model = embedder.load_shipped(published.model(), None, published.way)
        way = published.way
        self._letters = way is not None and way.dim > 0

    def unknown(self, tokens: list[str]) -> list[str] | None:
        """Tokens that the model has not met: it knows their letters only. None of an encoder."""
        if not isinstance(self._model, Embedder | LibraryEmbedder | BlendEmbedder):
            return None
        words = list(dict.fromkeys(tokens))
        known = self._model.in_vocabulary(words).tolist()
        return [word for word, met in zip(words, known, strict=True) if not met]

    def left_out(self, texts: Texts) -> list[str]:
        """Tokens of a title that are left out: they belong to promotional phrases."""
        title, _ = self._fields(texts)
        left = Counter(texts[0].split()) - Counter(title)
        return [word for word in dict.fromkeys(texts[0].split()) if left[word]]

    def terms(self, texts: Texts) -> WordContributions | None:
        """What each token adds to the vector; None where it can't be told."""
        title, description = self._fields(texts)
        if isinstance(self._model, BlendEmbedder):
            return self._model.word_contributions(title, description)
        if isinstance(self._model, Embedder | LibraryEmbedder):
            return self._model.word_contributions(title + description)
        return None

    def shares(self, one: Texts, other: Texts) -> Shares:
        """What the score of two items is made of."""
        mine, theirs = self.terms(one), self.terms(other)
        if mine is None or theirs is None:
            words = {word for field in other for word in field.split()}
            both = [word for field in one for word in field.split() if word in words]
            return Shares(None, None, [(word, None) for word in dict.fromkeys(both)], None)
        meaning, letters = pairwise_products(mine, theirs)
        place = {word: n for n, word in enumerate(theirs.words)}
        every = meaning + letters
        score = float(every.sum())
        shared = {
            word: float(every[n, place[word]]) / (score or 1.0)
            for n, word in enumerate(mine.words)
            if word in place
        }
        tokens = sorted(shared.items(), key=lambda pair: (-pair[1], pair[0]))
        return Shares(
            meaning=float(meaning.sum()),
            letters=float(letters.sum()) if self._letters else None,
            tokens=[(word, share) for word, share in tokens],
            other=1.0 - sum(shared.values()),
        )

    def _fields(self, texts: Texts) -> tuple[list[str], list[str]]:
        """The tokens that the model reads."""
        if not isinstance(self._model, BlendEmbedder):
            return texts[0].split(), texts[1].split()
        title, description = fields(self._model, pa.array([list(texts)]))
        return title[0].as_py(), description[0].as_py()
