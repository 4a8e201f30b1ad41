from pathlib import Path

import numpy as np
import pytest

from models import ModelError, fasttext
from models.fasttext.catalogue_statistics import TABLE_SIZE, CatalogueStatistics
from models.fasttext.model_size import packed_bytes
from tests.models.fasttext.files import Bin


@pytest.mark.parametrize("float16", [False, True])
@pytest.mark.parametrize("statistics", [False, True])
def test_the_packed_size_is_that_of_the_file(
    tmp_path: Path, float16: bool, statistics: bool
) -> None:
    words = [f"word{number}".encode() for number in range(321)]
    binary = Bin(words=words, dim=7, bucket=50).write(tmp_path / "model.bin")
    packed = fasttext.pack(binary, tmp_path / "packed", float16=float16)
    if statistics:
        counts = np.zeros(TABLE_SIZE, np.int32)
        direction = np.zeros(7, np.float32)
        fasttext.add_statistics(packed, CatalogueStatistics(9, counts, counts, direction))
    total = sum(map(len, words))
    size = packed_bytes(321, 50, 7, total, float16=float16, statistics=statistics)
    assert size == packed.stat().st_size


def test_a_files_header_says_its_sizes(tmp_path: Path) -> None:
    binary = Bin(dim=5, bucket=13).write(tmp_path / "model.bin")
    packed = fasttext.pack(binary, tmp_path / "packed")
    for path in (binary, packed):
        size = fasttext.size_of_file(path)
        assert (size.words, size.rows, size.dim) == (4, 13, 5)
    assert fasttext.size_of_file(packed).packed == packed.stat().st_size
    assert fasttext.size_of_file(binary).binary == binary.stat().st_size


def test_only_the_header_is_read(tmp_path: Path) -> None:
    binary = Bin(dim=5, bucket=13).write(tmp_path / "model.bin")
    cut = tmp_path / "cut.bin"
    cut.write_bytes(binary.read_bytes()[:200])
    assert fasttext.size_of_file(cut).words == 4
    cut.write_bytes(binary.read_bytes()[:60])
    with pytest.raises(ModelError, match="cut short"):
        fasttext.size_of_file(cut)
