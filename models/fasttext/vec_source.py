"""Word vectors as text: .vec files, plain or gzip.

The first line says how many words and values; each other line is a word and its values, between
single spaces. The word itself may hold spaces.
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
from models.fasttext.row_sums import Floats, unit
from models.fasttext.source import Header

_READ_BYTES = 1 << 23


class VecSource:
    """A .vec file as the source of a packed model: read once, from first line to last."""

    kept: npt.NDArray[np.int32] | None

    def __init__(self, path: Path) -> None:
        """Read the first line.

        Raises:
            ModelError: it is none.
        """
        self._path = path
        self.kept = np.zeros(0, dtype=np.int32)
        self._words: list[bytes] = []
        with _open(path) as file:
            self._count, dim = self._first_line(file)
        self.header = Header("vectors", dim, self._count, 0, 0, 0, 1)

    @property
    def words(self) -> ByteStrings:
        """The vocabulary, once `vectors` is through."""
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
            raise self._miscounted()

    def rows(self) -> Iterator[Floats]:
        """None."""
        return iter(())

    def _miscounted(self) -> ModelError:
        few = len(self._words) < self._count
        return ModelError(
            f"{self._path}: its first line says {self._count} words, it holds "
            f"{f'{len(self._words)}; cut short? copy it again' if few else 'more'}"
        )

    def _parse(self, lines: list[bytes]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        dim, values = self.header.dim, []
        for line in lines:
            word, rest = self._split(line)
            self._words.append(word)
            values.append(rest)
        if len(self._words) > self._count:
            raise self._miscounted()
        vectors = self._numbers(values).reshape(-1, dim)
        return vectors, unit(vectors)

    def _split(self, line: bytes) -> tuple[bytes, bytes]:
        number = len(self._words) + 2
        if not line.endswith(b"\n"):
            raise ModelError(
                f"{self._path}: line {number} has no line break at its end: cut short? "
                "copy it again"
            )
        stripped = line.rstrip(b" \r\n")
        spare = stripped.count(b" ") - self.header.dim
        if spare == 0:
            word, _, rest = stripped.partition(b" ")
            return word, rest
        if spare < 0:
            raise ModelError(
                f"{self._path}: line {number} has {self.header.dim + spare} values, "
                f"{self.header.dim} needed"
            )
        parts = stripped.split(b" ")
        return b" ".join(parts[: spare + 1]), b" ".join(parts[spare + 1 :])

    def _numbers(self, values: list[bytes]) -> Floats:
        """float32[lines * dim].

        Raises:
            ModelError: something is no number, or not finite.
        """
        first = len(self._words) - len(values) + 2
        where = f"{self._path}: lines {first} to {len(self._words) + 1}"
        try:
            with warnings.catch_warnings():
                # NumPy warns of what is no number and stops there.
                warnings.simplefilter("error", DeprecationWarning)
                parsed = np.fromstring(b" ".join(values), dtype=np.float64, sep=" ")
        except (ValueError, DeprecationWarning) as error:
            raise ModelError(f"{where}: a value that is no number; make the file again") from error
        if len(parsed) != len(values) * self.header.dim:
            raise ModelError(f"{where}: values are missing; make the file again")
        with np.errstate(over="ignore"):
            numbers = parsed.astype(np.float32)
        if not np.isfinite(numbers).all():
            raise ModelError(f"{where}: holds values that are not finite; make the file again")
        return numbers


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path) if zipped else path.open("rb"))
