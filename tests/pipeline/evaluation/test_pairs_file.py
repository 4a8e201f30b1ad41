import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import InputError
from pipeline.evaluation import pairs_file


def written(folder: Path, text: str) -> str:
    file = folder / "pairs.csv"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_columns_are_found_by_their_names_and_others_passed_over(tmp_path: Path) -> None:
    text = 'split,match,b,a\ntrain,1,"2,0",1\ntest,0,3,1\ntest,1,4,4\n'
    pairs = pairs_file.read(written(tmp_path, "\ufeff" + text))
    assert (pairs.left.to_pylist(), pairs.right.to_pylist()) == (["1", "1"], ["2,0", "3"])
    assert (pairs.match.tolist(), pairs.itself) == ([True, False], 1)
    packed = tmp_path / "pairs.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert pairs_file.read(str(packed)).ids().to_pylist() == ["1", "2,0", "3"]


def test_pairs_that_the_catalogue_lacks_are_left_out_and_counted(tmp_path: Path) -> None:
    text = "a,b,match\nx,y,1\nx,gone,1\nlost,y,0\ny,z,0\nz,gone,0\n"
    pairs = pairs_file.read(written(tmp_path, text)).positions(pa.array(["w", "x", "y", "z"]))
    assert (pairs.left.tolist(), pairs.right.tolist()) == ([1, 2], [2, 3])
    assert pairs.match.tolist() == [True, False]
    assert (pairs.read, pairs.unknown) == (5, 2)
    with pytest.raises(InputError, match="of none of its 2 pairs that match the catalogue"):
        pairs_file.read(written(tmp_path, text)).positions(pa.array(["x", "z"]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column a, b, match is missing; .* it has: $"),
        ("left,b,match\nx,y,1\n", "column a is missing; the header must have .*: left, b, match"),
        ("a,b,match\nx,y,1\nx,z,yes\n", "line 3 has a 'x', b 'z', match 'yes'"),
        ("a,b,match\nx,y\n", "line 2 has a 'x', b 'y', match None"),
        ("a,b,match\n,y,1\n", "line 2 has a ''"),
        ("a,b,match\nx,y,0\nz,z,1\n", "no two items match"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pairs_file.read(written(tmp_path, text))


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        pairs_file.read(str(tmp_path / "none.csv"))
    file = tmp_path / "sjis.csv"
    file.write_bytes("a,b,match\n靴,鞄,1\n".encode("shift_jis"))
    with pytest.raises(InputError, match="can't be read as CSV in UTF-8"):
        pairs_file.read(str(file))
