"""The identity of a catalogue in an object store."""

from pipeline import catalogue
from pipeline.config.sections import CatalogueSection
from pipeline.storage.s3_path import S3Path


def _identity(path: S3Path) -> list[list[object]]:
    section = CatalogueSection(path=str(path))
    return catalogue.identity(catalogue.Source.from_config(section, path.options))


def test_a_copied_catalogue_has_the_same_identity_and_a_changed_one_has_not(root: S3Path) -> None:
    for folder in ("a", "b/c"):
        for name in ("1.csv", "below/2.csv"):
            (root / folder / name).write_text(f"item_id,title\n{name},x\n")
    assert _identity(root / "a") == _identity(root / "b" / "c")
    assert _identity(root / "a" / "1.csv") == _identity(root / "b" / "c" / "1.csv")
    before = _identity(root / "a")
    (root / "a" / "1.csv").write_text("item_id,title\n1.csv,y\n")
    assert _identity(root / "a") != before
