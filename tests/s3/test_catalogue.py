"""A catalogue's files in an object store: which are read, which refused, and their identity."""

import pytest

from pipeline import catalogue
from pipeline.catalogue.files import list_files, spark_paths
from pipeline.config.sections import CatalogueSection
from pipeline.errors import InputError
from pipeline.storage.object_path import ObjectPath


def _source(path: ObjectPath) -> catalogue.Source:
    return catalogue.Source.from_config(CatalogueSection(path=str(path)), path.options)


def _identity(path: ObjectPath) -> list[list[object]]:
    return catalogue.identity(_source(path))


def test_a_copied_catalogue_has_the_same_identity_and_a_changed_one_has_not(
    root: ObjectPath,
) -> None:
    for folder in ("a", "b/c"):
        for name in ("1.csv", "below/2.csv"):
            (root / folder / name).write_text(f"item_id,title\n{name},x\n")
    assert _identity(root / "a") == _identity(root / "b" / "c")
    assert _identity(root / "a" / "1.csv") == _identity(root / "b" / "c" / "1.csv")
    before = _identity(root / "a")
    (root / "a" / "1.csv").write_text("item_id,title\n1.csv,y\n")
    assert _identity(root / "a") != before


def test_files_are_told_by_their_names_as_on_disks(root: ObjectPath) -> None:
    for name in ("A.CSV.GZ", "b.csv", "x/Thumbs.db", "desktop.ini", "_SUCCESS"):
        (root / name).write_text("" if name == "b.csv" else "x")
    source = _source(root)
    assert [file.name for file in list_files(source)] == ["A.CSV.GZ", "b.csv"]
    assert catalogue.format_of(source) == "csv"
    assert [path.rpartition("/")[2] for path in spark_paths(source)] == ["A.CSV.GZ", "b.csv"]
    assert [row[:2] for row in catalogue.identity(source)] == [["A.CSV.GZ", 1], ["b.csv", 0]]


@pytest.mark.parametrize(
    ("names", "path", "message"),
    [
        (["a.parquet", "_delta_log/0.json"], ".", "a table of Delta Lake"),
        (["a.parquet", "_delta_log/0.json"], "a.parquet", "a table of Delta Lake"),
        (["data/a.parquet", "metadata/1.metadata.json"], "data", "a table of Iceberg"),
        (["at 10:00.csv"], ".", "with : in their names; rename it"),
        (["a.parquet"], ".", "has 0 bytes"),
    ],
)
def test_files_are_refused_as_on_disks(
    root: ObjectPath, names: list[str], path: str, message: str
) -> None:
    for name in names:
        (root / name).write_text("" if name == "a.parquet" and len(names) == 1 else "{}")
    with pytest.raises(InputError, match=message):
        _identity(root if path == "." else root / path)
