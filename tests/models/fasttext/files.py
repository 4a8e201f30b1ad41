"""fastText files written byte by byte, so that tests can damage them where they want."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

MAGIC = 793712314


@dataclass
class Bin:
    """A dense .bin file; the defaults make a valid one.

    `matrix` is random and `output` ones by default; the header can be given wrong sizes.
    """

    words: Sequence[bytes] = ("りんご".encode(), "箱".encode(), b"apple", b"</s>")
    labels: Sequence[bytes] = ()
    dim: int = 4
    bucket: int = 11
    minn: int = 2
    maxn: int = 3
    model: int = 2
    word_ngrams: int = 1
    version: int = 12
    magic: int = MAGIC
    more_words: int = 0
    more_rows: int = 0
    pruned: int = -1
    matrix: np.ndarray | None = None
    output: np.ndarray | None = None
    sections: dict[str, int] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """Write the file and set `sections` to the end of each section."""
        rng = np.random.default_rng(0)
        entries, nwords = [*self.words, *self.labels], len(self.words) + self.more_words
        rows = len(self.words) + self.bucket
        matrix = rng.standard_normal((rows, self.dim)) if self.matrix is None else self.matrix
        targets = len(self.labels) if self.model == 3 else len(self.words)
        output = np.ones((targets, self.dim)) if self.output is None else self.output
        args = (
            self.dim, 5, 5, 1, 5, self.word_ngrams, 2, self.model, self.bucket, self.minn,
            self.maxn, 100,
        )  # fmt: skip
        parts = {
            "header": struct.pack("<2i12id", self.magic, self.version, *args, 1e-4),
            "sizes": struct.pack(
                "<3i2q", nwords + len(self.labels), nwords, len(self.labels), 99, self.pruned
            ),
            "vocabulary": b"".join(
                entry + b"\0" + struct.pack("<qb", 1, number >= len(self.words))
                for number, entry in enumerate(entries)
            ),
            "input matrix": _dense(matrix, self.more_rows),
            "output matrix": _dense(output, 0),
        }
        end = 0
        for name, part in parts.items():
            end += len(part)
            self.sections[name] = end
        path.write_bytes(b"".join(parts.values()))
        return path


def _dense(matrix: np.ndarray, more_rows: int) -> bytes:
    rows, columns = matrix.shape
    return struct.pack("<Bqq", 0, rows + more_rows, columns) + matrix.astype("<f4").tobytes()


def floret(path: Path) -> Path:
    """A file as floret writes it: like fastText's, with two more numbers in the header."""
    model = Bin()
    content = model.write(path).read_bytes()
    # floret writes its mode and its hash count before lrUpdateRate.
    path.write_bytes(content[:52] + struct.pack("<2i", 2, 2) + content[52:])
    return path


def vec(path: Path, words: Sequence[str], vectors: np.ndarray, *, space: str = " ") -> Path:
    """Word vectors as fastText writes them, each value followed by a space."""
    lines = [f"{len(words)} {vectors.shape[1]}"]
    for word, vector in zip(words, vectors, strict=True):
        lines.append(f"{word} " + " ".join(f"{value:.5g}" for value in vector) + space)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
