"""Invalid models are refused with the reason, before native code loads them."""

import gzip
import hashlib
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models import ModelError, fasttext
from models.fasttext.binary_format import read_layout
from tests.models.fasttext import files
from tests.models.fasttext.files import Bin


def refused(path: Path, reason: str) -> None:
    """Check that a file is neither loaded nor packed, for this reason and quickly."""
    start = time.monotonic()
    with pytest.raises(ModelError, match=reason) as error:
        fasttext.load(path)
    assert path.name in str(error.value)
    out = path.parent / "out"
    with pytest.raises(ModelError, match=reason):
        fasttext.pack(path, out)
    assert not out.exists() or list(out.iterdir()) == []
    assert time.monotonic() - start < 1


def test_a_bin_cut_anywhere_is_refused_by_the_section_it_is_cut_in(tmp_path: Path) -> None:
    model = Bin()
    content = model.write(tmp_path / "complete.bin").read_bytes()
    cut = tmp_path / "cut.bin"
    start = 4
    for name, end in model.sections.items():
        section = {"sizes": "vocabulary"}.get(name, name)
        for size in range(start, end):
            cut.write_bytes(content[:size])
            with pytest.raises(ModelError, match=f"cut short in its {section}"):
                read_layout(cut)
        start = end
    assert read_layout(tmp_path / "complete.bin").nwords == 4


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9, 0.999])
def test_a_trained_model_cut_short_is_refused(trained: Path, share: float, tmp_path: Path) -> None:
    path = tmp_path / trained.name
    content = trained.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, "cut short in its|vocabulary")


def test_trailing_bytes_are_refused(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / trained.name
    path.write_bytes(trained.read_bytes() + b"\0\0\0")
    refused(path, "3 bytes too long")


NAN = np.ones((15, 4))
NAN[14, 3] = np.nan
INFINITE = np.ones((4, 4))
INFINITE[0, 0] = np.inf


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Bin(version=13), "fastText format 13 is unknown"),
        (Bin(magic=files.MAGIC + 1), "not a fastText model"),
        (Bin(model=4), "not a fastText model: model 4"),
        (Bin(dim=0), "not a fastText model.*dim 0"),
        (Bin(more_rows=1), "its input matrix has 16 x 4|cut short"),
        (Bin(more_rows=-1), "its input matrix has 14 x 4 values, its header says 15 x 4"),
        (Bin(more_words=1), "its vocabulary is damaged, or holds other than 5 words"),
        (Bin(more_words=-1), "its vocabulary is damaged|its vocabulary's sizes disagree|input"),
        (Bin(output=np.ones((3, 4))), "its output matrix has 3 x 4 values, its header says 4 x 4"),
        (Bin(matrix=np.ones((15, 3))), "its input matrix has 15 x 3 values"),
        (Bin(bucket=0), "bucket 0, minn 2 and maxn 3 can't go together"),
        (Bin(model=3, labels=[b"__label__a"], word_ngrams=2, minn=0, maxn=0, bucket=0), "bucket 0"),
        (Bin(pruned=0), "pruned but not quantised"),
        (Bin(matrix=NAN), "not finite"),
        (Bin(output=INFINITE), "not finite"),
    ],
)
def test_wrong_headers_and_values_that_are_not_finite_are_refused(
    model: Bin, reason: str, tmp_path: Path
) -> None:
    refused(model.write(tmp_path / "model.bin"), reason)


def old_format(path: Path) -> Path:
    """A file of the time before the magic number, which begins with the arguments."""
    path.write_bytes(Bin().write(path).read_bytes()[8:])
    return path


def gzipped(path: Path) -> Path:
    """A .bin in gzip."""
    path.write_bytes(gzip.compress(Bin().write(path).read_bytes()))
    return path


def text(path: Path) -> Path:
    """Word vectors as text, under any name."""
    return files.vec(path, ["りんご", "apple"], np.ones((2, 3)))


def word2vec_binary(path: Path) -> Path:
    """word2vec's own binary format."""
    path.write_bytes(b"1 3\napple " + struct.pack("<3f", 0, 1, 2) + b"\n")
    return path


def file_of(content: bytes) -> Callable[[Path], Path]:
    """A file of this content."""

    def write(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    ("write", "name", "reason"),
    [
        (old_format, "old.bin", "from before its magic number"),
        (files.floret, "floret.bin", "a floret file, not fastText's"),
        (gzipped, "model.bin", "compressed with gzip.*gunzip"),
        (gzipped, "model.bin.gz", "compressed with gzip.*gunzip"),
        (gzipped, "model.vec.gz", "compressed with gzip.*gunzip"),
        (text, "vectors.bin", r"word vectors as text \(.vec\), not a fastText .bin"),
        (Bin().write, "model.vec", "a fastText .bin under the name of a text file"),
        (word2vec_binary, "vectors.bin", "word2vec's binary format"),
        (file_of(b"\x1f\x8b\x08 and no more"), "model.vec.gz", "damaged or cut short gzip"),
        (file_of(b""), "model.bin", "is empty"),
        (file_of(b"apple 0.5 0.25\n"), "model.vec", "its first line is not the number of words"),
        (file_of(b"\x89PNG\r\n\x1a\n" + bytes(100)), "model.bin", "not a fastText model: neither"),
    ],
)
def test_another_kind_of_file_is_refused_by_name(
    write: Callable[[Path], Path], name: str, reason: str, tmp_path: Path
) -> None:
    refused(write(tmp_path / name), reason)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"3 2\na 1 2\nb 1 2\n", "says 3 words, it holds 2; cut short"),
        (b"1 2\na 1 2\nb 1 2\n", "says 1 words, it holds more"),
        (b"2 2\na 1 2\nb 1\n", "line 3 has 1 values, 2 needed"),
        (b"2 2\na 1 2\nb 1 2", "line 3 has no line break at its end"),
        (b"1 2\na 1 two\n", "line 2 holds a value that is no number"),
        (b"1 2\na 1 nan\n", "line 2 holds a value that is not finite"),
        (b"1 2\na 1 1e39\n", "line 2 holds a value that is not finite"),
        (b"1 0\na\n", "its first line is not the number of words and the dim"),
    ],
)
def test_damaged_word_vectors_are_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "model.vec"
    path.write_bytes(content)
    refused(path, reason)


def test_word_vectors_cut_in_their_gzip_are_refused(tmp_path: Path) -> None:
    plain = files.vec(tmp_path / "v.vec", [f"語{n}" for n in range(99)], np.ones((99, 30)))
    rng = np.random.default_rng(0)
    files.vec(plain, [f"語{n}" for n in range(99)], rng.standard_normal((99, 30)))
    path = tmp_path / "v.vec.gz"
    path.write_bytes(gzip.compress(plain.read_bytes())[:-400])
    refused(path, "cut short in its gzip")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.bin", "can't be read: No such file")


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    model = Bin().write(tmp_path / "model.bin")
    for path in (model, fasttext.pack(model, tmp_path), text(tmp_path / "v.vec")):
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        assert fasttext.load(path, sha256=sha256).dim > 0
        with pytest.raises(ModelError, match=f"its sha256 is {sha256}, not {'0' * 64}"):
            fasttext.load(path, sha256="0" * 64)


def test_words_that_are_not_utf8_are_served_as_bytes(tmp_path: Path) -> None:
    broken = b"\xff\xe3\x81"
    path = Bin(words=[broken, "箱".encode()]).write(tmp_path / "model.bin")
    for embedder in (fasttext.load(path), fasttext.load(fasttext.pack(path, tmp_path))):
        vectors = embedder.embed([[broken.decode(errors="surrogateescape")], ["箱"], ["\ud83d"]])
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
        assert not np.allclose(vectors[0], vectors[1])
