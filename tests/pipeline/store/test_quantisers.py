"""The files of quantisers: damage is found before they are used, and they are written again."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import DamagedError
from pipeline.store.quantisers import Quantisers

NAME = "0123456789abcdef"
CENTROIDS, SIZES = np.eye(3, 4, dtype=np.float32), np.array([5, 1, 2])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Quantisers(tmp_path).save(NAME, [CENTROIDS], SIZES, 12)
    return tmp_path


@pytest.mark.parametrize("file", [f"{NAME}.npy", f"{NAME}.sizes.npy"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "gone"])
def test_a_damaged_file_is_named_and_written_again(root: Path, file: str, damage: str) -> None:
    content = bytearray((root / file).read_bytes())
    content[-1] ^= 1
    written = {"flipped": bytes(content), "cut": bytes(content[:-1]), "empty": b"", "gone": None}
    (root / file).unlink()
    if (left := written[damage]) is not None:
        (root / file).write_bytes(left)
    with pytest.raises(DamagedError, match=f"{file}: .*run: nitamono run"):
        Quantisers(root).arrays(NAME)[0]
    Quantisers(root).save(NAME, [CENTROIDS], SIZES, 12)
    np.testing.assert_array_equal(Quantisers(root).arrays(NAME)[0], CENTROIDS)
    assert Quantisers(root).is_whole(NAME)


@pytest.mark.parametrize("left", [b"", b"\x93NUMPY", None])
def test_files_of_earlier_releases_are_loaded_to_see_whether_they_are_whole(
    root: Path, left: bytes | None
) -> None:
    (root / f"{NAME}.files.json").unlink()
    np.testing.assert_array_equal(Quantisers(root).arrays(NAME)[0], CENTROIDS)
    (root / f"{NAME}.sizes.npy").unlink()
    if left is not None:
        (root / f"{NAME}.sizes.npy").write_bytes(left)
    assert f"{NAME}.sizes.npy" in Quantisers(root).find_damage(NAME)


def test_the_probes_of_an_earlier_release_are_not_known(root: Path) -> None:
    sizes, probes = Quantisers(root).sizes_and_probes(NAME)
    np.testing.assert_array_equal(sizes, SIZES)
    assert probes == 12
    np.save(root / f"{NAME}.sizes.npy", SIZES)
    assert Quantisers(root).sizes_and_probes(NAME)[1] == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}"])
def test_a_damaged_list_is_said(root: Path, content: bytes) -> None:
    (root / f"{NAME}.files.json").write_bytes(content)
    assert f"{NAME}.files.json" in Quantisers(root).find_damage(NAME)
    Quantisers(root).save(NAME, [CENTROIDS], SIZES, 12)
    assert Quantisers(root).is_whole(NAME)


def test_several_arrays_are_stored_in_one_file(tmp_path: Path) -> None:
    arrays = [CENTROIDS, SIZES, np.array([2])]
    Quantisers(tmp_path).save(NAME, arrays, SIZES, 12)
    for stored, read in zip(arrays, Quantisers(tmp_path).arrays(NAME), strict=True):
        np.testing.assert_array_equal(stored, read)
    # A file that is cut between two arrays holds fewer, but is damaged.
    content = (tmp_path / f"{NAME}.npy").read_bytes()
    (tmp_path / f"{NAME}.npy").write_bytes(content[: content.rindex(b"\x93NUMPY")])
    with pytest.raises(DamagedError, match=f"{NAME}.npy: "):
        Quantisers(tmp_path).arrays(NAME)
