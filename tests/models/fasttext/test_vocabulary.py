"""The vocabulary's table and n-gram hashes against plain Python."""

import random

import numpy as np

from models.fasttext.bytestrings import ByteStrings
from models.fasttext.ngrams import hash32
from models.fasttext.vocabulary import Vocabulary


def strings_of_all_lengths(count: int) -> list[bytes]:
    """Different strings of 0 to 300 bytes; many have the same first 64."""
    rng = random.Random(5)  # noqa: S311
    strings = {b""}
    while len(strings) < count:
        start = b"x" * rng.choice([0, 7, 8, 63, 64, 65, 128])
        strings.add(start + rng.randbytes(rng.randint(0, 12)) + b"y" * rng.choice([0, 0, 8, 100]))
    return sorted(strings, key=lambda _: rng.random())


def test_all_words_are_found_and_no_others() -> None:
    words = strings_of_all_lengths(6000)
    vocabulary_words, others = words[:3000], words[3000:]
    vocabulary = Vocabulary.build(ByteStrings.from_list(vocabulary_words))
    tokens = ByteStrings.from_list([*others, *vocabulary_words])
    assert vocabulary.find(tokens).tolist() == [-1] * len(others) + list(
        range(len(vocabulary_words))
    )


def test_words_with_the_same_hash_are_different_words() -> None:
    """The hash reads the first 64 bytes and the last 8, which are the same here."""
    words = [b"a" * 64 + bytes([middle]) + b"z" * 8 for middle in range(200)]
    strings = ByteStrings.from_list(words)
    assert len(np.unique(strings.hash64())) == 1
    vocabulary = Vocabulary.build(strings.slice(0, 100))
    assert vocabulary.find(strings).tolist() == [*range(100), *[-1] * 100]


def test_of_equal_words_the_first_is_found() -> None:
    words = ByteStrings.from_list([b"a", b"b", b"a", b"", b"b"])
    assert Vocabulary.build(words).find(words).tolist() == [0, 1, 0, 3, 1]


def test_an_empty_vocabulary_has_no_word() -> None:
    assert Vocabulary.build(ByteStrings.from_list([])).find(
        ByteStrings.from_list([b"a", b""])
    ).tolist() == [-1, -1]


def test_whole_words_are_hashed_as_signed_bytes() -> None:
    words = strings_of_all_lengths(500)

    def fnv(word: bytes) -> int:
        value = 2166136261
        for byte in word:
            value = (value ^ (byte | 0xFFFFFF00 if byte & 0x80 else byte)) * 16777619 % 2**32
        return value

    assert hash32(ByteStrings.from_list(words)).tolist() == [fnv(word) for word in words]
