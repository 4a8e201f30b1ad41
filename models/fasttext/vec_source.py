"""Word vectors as text, a .vec file plain or in gzip, as the source of a packed model.

The first line has the number of words and the dimension. Each other line has a word and its
values, separated by single spaces; the word itself may contain spaces.
"""

import gzip
import warnings
import zlib
from collections.abc import Iterator
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

    def __init__(self, path: Path) -> None:
        """Read the first line.

        Raises:
            ModelError: it does not have the two numbers.
        """
        self._path = path
        self.kept_ngrams = np.zeros(0, dtype=np.int32)
        self._words: list[bytes] = []
        with _open(path) as file:
            self._count, dim = self._first_line(file)
        self.header = Header("vectors", dim, self._count, 0, 0, 0, 1)

    @property
    def words(self) -> ByteStrings:
        """The vocabulary, complete after all of `vectors` was read."""
        return ByteStrings.from_list(self._words)

    def _first_line(self, file: IO[bytes]) -> tuple[int, int]:
        parts = file.readline(1 << 10).split()
        if len(parts) != 2 or not all(part.isdigit() for part in parts) or int(parts[1]) == 0:
            raise ModelError(f"{self._path}: its first line is not the words and the dimension")
        return int(parts[0]), int(parts[1])

    def vectors(self) -> Iterator[tuple[Floats, npt.NDArray[np.bool_]]]:
        """See `Source`.

        Raises:
            ModelError: the file is cut short, a line is damaged, or there are fewer or more lines
                than the first says.
        """
        self._words = []
        try:
            with _open(self._path) as file:
                self._first_line(file)
                while lines := file.readlines(_READ_BYTES):
                    yield self._parse(lines)
        except EOFError as error:
            raise ModelError(f"{self._path}: cut short in its gzip; copy it again") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise ModelError(f"{self._path}: damaged gzip: {error}; copy it again") from error
        if len(self._words) != self._count:
            raise self._wrong_count()

    def rows(self) -> Iterator[Floats]:
        """Yield nothing: the file has no n-grams."""
        return iter(())

    def _wrong_count(self) -> ModelError:
        incomplete = len(self._words) < self._count
        count = f"{len(self._words)}; cut short? copy it again" if incomplete else "more"
        return ModelError(
            f"{self._path}: its first line says {self._count} words, it holds {count}"
        )

    def _parse(self, lines: list[bytes]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        dim, texts = self.header.dim, []
        for line in lines:
            word, text = self._split(line)
            self._words.append(word)
            texts.append(text)
        if len(self._words) > self._count:
            raise self._wrong_count()
        vectors = self._numbers(texts).reshape(-1, dim)
        return vectors, normalize_rows(vectors)

    def _split(self, line: bytes) -> tuple[bytes, bytes]:
        """Split a line into its word and the text of its values."""
        number = len(self._words) + 2
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

    def _numbers(self, texts: list[bytes]) -> Floats:
        """Parse the values of lines: float32[lines * dim].

        Raises:
            ModelError: a value is not a number, or not finite.
        """
        first = len(self._words) - len(texts) + 2
        origin = f"{self._path}: lines {first} to {len(self._words) + 1}"
        try:
            with warnings.catch_warnings():
                # NumPy stops at a text that is not a number, and only warns.
                warnings.simplefilter("error", DeprecationWarning)
                parsed = np.fromstring(b" ".join(texts), dtype=np.float64, sep=" ")
        except (ValueError, DeprecationWarning) as error:
            raise ModelError(f"{origin}: a value that is no number; make the file again") from error
        if len(parsed) != len(texts) * self.header.dim:
            raise ModelError(f"{origin}: values are missing; make the file again")
        with np.errstate(over="ignore"):
            numbers = parsed.astype(np.float32)
        if not np.isfinite(numbers).all():
            raise ModelError(f"{origin}: holds values that are not finite; make the file again")
        return numbers


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        is_gzip = file.read(2) == GZIP_MAGIC
    return cast("IO[bytes]", gzip.open(path) if is_gzip else path.open("rb"))
