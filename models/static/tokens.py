"""From texts to the numbers of tokens, by a model's own tokenizer (Hugging Face's `tokenizers`)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models.errors import ModelError
from models.fasttext.bytestrings import offsets_from_lengths

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenRules:
    """Which tokens of a text count.

    Attributes:
        tokens: number of tokens that the tokenizer has.
        max_tokens: how many tokens of a text count, from its start; 0: all.
        max_characters: characters of a text that the tokenizer gets; 0: all.
        unknown: number of the token for what the tokenizer does not know, which is left out; -1 if
            it counts as any other, or there is none.
    """

    tokens: int
    max_tokens: int
    max_characters: int
    unknown: int

    @classmethod
    def of(
        cls, tokenizer: str, origin: Path, max_tokens: int | None, *, skip_unknown: bool
    ) -> Self:
        """The rules of a model.

        Args:
            tokenizer: the text of tokenizer.json.
            origin: names the model in errors.
            max_tokens: how many tokens of a text count; None: all.
            skip_unknown: whether the unknown token is left out.

        Raises:
            ModelError: the tokenizer is damaged, or the extra is not installed.
        """
        vocabulary = read_tokenizer(tokenizer, origin).get_vocab()
        # model2vec cuts a text before the tokenizer sees it, at this many characters a token.
        characters = int(np.median([len(token) for token in vocabulary])) if vocabulary else 0
        return cls(
            max(vocabulary.values(), default=-1) + 1,
            max_tokens or 0,
            (max_tokens or 0) * characters,
            _unknown(tokenizer, vocabulary) if skip_unknown else -1,
        )


def _unknown(tokenizer: str, vocabulary: dict[str, int]) -> int:
    model = json.loads(tokenizer).get("model", {})
    if model.get("unk_token") is not None:
        return vocabulary.get(model["unk_token"], -1)
    unknown = model.get("unk_id")
    return -1 if unknown is None else int(unknown)


def read_tokenizer(tokenizer: str, origin: Path) -> Any:  # noqa: ANN401 - it has no types
    """Return a `tokenizers.Tokenizer`, which neither fills nor cuts.

    Raises:
        ModelError: the text is damaged, or the extra is not installed.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ModelError("tokenizers is missing: pip install 'nitamono[static]'") from error
    try:
        loaded = Tokenizer.from_str(tokenizer)
    except Exception as error:  # the library raises bare Exception
        raise ModelError(f"{origin}: its tokenizer.json is damaged: {error}") from error
    loaded.no_padding()
    loaded.no_truncation()
    return loaded


class TextTokens:
    """A tokenizer, and the rules of its model."""

    def __init__(self, tokenizer: str, rules: TokenRules, origin: Path) -> None:
        """Make the tokenizer ready.

        Raises:
            ModelError: see `read_tokenizer`.
        """
        self._tokenizer = read_tokenizer(tokenizer, origin)
        self._rules = rules
        if rules.max_tokens:
            self._tokenizer.enable_truncation(rules.max_tokens)

    def read(self, texts: Sequence[str]) -> tuple[Int64s, Int64s]:
        """Return the tokens of n texts.

        Returns:
            int64[k], numbers of tokens, text after text; int64[n + 1], where each text's tokens
            start and the last one's end.
        """
        if self._rules.max_characters:
            texts = [text[: self._rules.max_characters] for text in texts]
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        lists = [encoding.ids for encoding in encodings]
        offsets = offsets_from_lengths(np.fromiter(map(len, lists), np.int64, len(lists)))
        tokens = np.fromiter((token for ids in lists for token in ids), np.int64, offsets[-1])
        if self._rules.unknown < 0:
            return tokens, offsets
        known = tokens != self._rules.unknown
        return tokens[known], offsets_from_lengths(known)[offsets]
