"""Word vectors as text, a .vec file plain or in gzip, as the source of a packed model.

The first line has the number of words and the dimension. Each other line has a word and its
values, separated by single spaces; the word itself may contain spaces.
"""

import gzip
import warnings
import zlib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np
import numpy.typing as npt

from models.errors import ModelError
from models.fasttext.bytestrings import ByteStrings
from models.fasttext.file_kind import GZIP_MAGIC
from models.fasttext.row_sums import Floats, normalize_rows
from models.fasttext.source import Header

_READ_BYTES = 1 << 23


class VecSource:
    """A .vec file, read once from the first line to the last; see `Source`."""

    kept_ngrams: npt.NDArray[np.int32] | None

    def __init__(self, path: Path, only: Container[bytes] | None = None) -> None:
        """Read the first line.

        Args:
            path: the file.
            only: the words that are wanted, if not all are: the others are not kept in memory, and
                their values not looked at.

        Raises:
            ModelError: it does not have the two numbers.
        """
        self._path, self._only = path, only
        self.kept_ngrams = np.zeros(0, dtype=np.int32)
        self._words: list[bytes] = []
        # Lines after the first that were read.
        self._lines = 0
        with _open(path) as file:
            self._count, dim = self._first_line(file)
        self.header = Header("vectors", dim, self._count, 0, 0, 0, 1)

    @property
    def words(self) -> ByteStrings:
        """The vocabulary, or what is wanted of it, complete after all of `vectors` was read."""
        return ByteStrings.from_list(self._words)

    def _first_line(self, file: IO[bytes]) -> tuple[int, int]:
        parts = file.readline(1 << 10).split()
        if len(parts) != 2 or not all(part.isdigit() for part in parts) or int(parts[1]) == 0:
            raise ModelError(
                f"{self._path}: its first line is not the number of words and the dimension; "
                "a file of GloVe has no such line: put one before it"
            )
        return int(parts[0]), int(parts[1])

    def vectors(self) -> Iterator[tuple[Floats, npt.NDArray[np.bool_]]]:
        """See `Source`.

        Raises:
            ModelError: the file is cut short, a line is damaged, or there are fewer or more lines
                than the first says.
        """
        self._words, self._lines = [], 0
        try:
            with _open(self._path) as file:
                self._first_line(file)
                while lines := file.readlines(_READ_BYTES):
                    yield self._parse(lines)
        except EOFError as error:
            raise ModelError(f"{self._path}: cut short in its gzip; copy it again") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise ModelError(f"{self._path}: damaged gzip: {error}; copy it again") from error
        if self._lines != self._count:
            raise self._wrong_count()

    def rows(self) -> Iterator[Floats]:
        """Yield nothing: the file has no n-grams."""
        return iter(())

    def _wrong_count(self) -> ModelError:
        incomplete = self._lines < self._count
        count = f"{self._lines}; cut short? copy it again" if incomplete else "more"
        return ModelError(
            f"{self._path}: its first line says {self._count} words, it holds {count}"
        )

    def _parse(self, lines: list[bytes]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        dim, numbers, texts = self.header.dim, [], []
        for line in lines:
            self._lines += 1
            word, text = self._split(line)
            if self._only is None or word in self._only:
                self._words.append(word)
                numbers.append(self._lines + 1)
                texts.append(text)
        if self._lines > self._count:
            raise self._wrong_count()
        vectors = self._values(texts, numbers).reshape(-1, dim)
        return vectors, normalize_rows(vectors)

    def _split(self, line: bytes) -> tuple[bytes, bytes]:
        """Split a line into its word and the text of its values."""
        number = self._lines + 1
        if not line.endswith(b"\n"):
            raise ModelError(
                f"{self._path}: line {number} has no line break at its end: cut short? "
                "copy it again"
            )
        stripped = line.rstrip(b" \r\n")
        extra_spaces = stripped.count(b" ") - self.header.dim
        if extra_spaces == 0:
            word, _, text = stripped.partition(b" ")
            return word, text
        if extra_spaces < 0:
            raise ModelError(
                f"{self._path}: line {number} has {self.header.dim + extra_spaces} values, "
                f"{self.header.dim} needed"
            )
        parts = stripped.split(b" ")
        return b" ".join(parts[: extra_spaces + 1]), b" ".join(parts[extra_spaces + 1 :])

    def _values(self, texts: list[bytes], numbers: list[int]) -> Floats:
        """Parse the values of lines: float32[lines * dim].

        Args:
            texts: of the lines.
            numbers: of the lines, for messages.

        Raises:
            ModelError: a value is not a number, or not finite.
        """
        dim = self.header.dim
        parsed = _parse_numbers(b" ".join(texts))
        if len(parsed) != len(texts) * dim:
            line = next(
                number
                for number, text in zip(numbers, texts, strict=True)
                if len(_parse_numbers(text)) != dim
            )
            raise ModelError(
                f"{self._path}: line {line} holds a value that is no number; make the file again"
            )
        with np.errstate(over="ignore"):
            values = parsed.astype(np.float32)
        is_finite = np.isfinite(values)
        if not is_finite.all():
            line = numbers[int(np.argmin(is_finite)) // dim]
            raise ModelError(
                f"{self._path}: line {line} holds a value that is not finite; make the file again"
            )
        return values


def _parse_numbers(text: bytes) -> npt.NDArray[np.float64]:
    """Parse numbers with spaces between them; none if something else is among them."""
    try:
        with warnings.catch_warnings():
            # NumPy stops at a text that is not a number, and only warns.
            warnings.simplefilter("error", DeprecationWarning)
            return np.fromstring(text, dtype=np.float64, sep=" ")
    except (ValueError, DeprecationWarning):
        return np.zeros(0)


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        is_gzip = file.read(2) == GZIP_MAGIC
    return cast("IO[bytes]", gzip.open(path) if is_gzip else path.open("rb"))
